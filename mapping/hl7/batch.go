package hl7

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// maxMessages bounds the messages of one batch: each needs an answer, and all are held until the last.
const maxMessages = 100_000

// envelopeIssues bounds the faults reported for one envelope.
const envelopeIssues = 20

// Batch is a file or frame of several messages, or of any number of them in the envelope of HL7 v2.8
// §2.10.3: [FHS] { [BHS] { message } [BTS] } [FTS].
type Batch struct {
	Messages [][]byte   // each a part of the input, from its MSH to the end of its last segment
	Issues   issue.List // what is wrong with the envelope; errors come first
	file     envelope
	batches  []envelope // in order; messages without BHS are one without header
	wide     *wide      // the input is UTF-16 or UTF-32
}

// envelope is a pair of header and trailer segment and what stands between them.
type envelope struct {
	headed bool
	head   *Message // FHS or BHS as a message of one segment; nil when it cannot be read
	stated string   // BTS-1 or FTS-1
	count  int      // messages of a batch, batches of a file
}

// Several tells whether b holds more than one message or any part of an envelope, so that Split and not
// Parse is to read it. declared is the character set of its source, as ParseIn takes it.
func Several(b []byte, declared string) bool {
	if w, ok := wideOf(b); ok {
		if !w.declaredAs(declared) {
			return false
		}
		b, _ = w.decode(b)
	}
	lines := 0
	for l := range linesOf(b) {
		switch lines++; {
		case lines == 1 && l.kind != msh:
			return l.kind != 0
		case lines > 1 && l.kind != 0:
			return true
		}
	}
	return false
}

// declaredAs tells whether a source's declared set is this encoding.
func (w wide) declaredAs(declared string) bool {
	set := charsetOf([]byte(declared))
	return set.kind == transcoded && set.codec.encoding == nil && set.codec.wide.unit == w.unit
}

// Split takes a batch apart and checks its envelope: what stands in no message, headers and trailers that do
// not pair, a BTS-1 or FTS-1 that is stated and does not match are errors at their place. A header without
// trailer, which the standard allows, is a warning: the end may be missing; so is a trailer without header,
// as long as its count matches. Whether each message is one is
// for ParseIn to tell. Of the declared sets only UTF-16 and UTF-32 matter here: in every other one a line
// that starts with a header segment is one.
func Split(b []byte, declared string) *Batch {
	s := splitter{Batch: &Batch{}, text: b, seen: map[name]int{}}
	if w, ok := wideOf(b); ok && w.declaredAs(declared) {
		s.wide = &w
		if s.text, ok = w.decode(b); !ok {
			s.fault(issue.New(issue.Value, "MSH", "bytes that are no characters of the declared set"))
		}
	}
	for l := range linesOf(s.text) {
		s.seen[l.kind]++
		s.line(l)
		if len(s.spans) > maxMessages {
			s.fault(issue.New(issue.TooLong, s.where(msh, 0), "more than "+strconv.Itoa(maxMessages)+" messages in one batch"))
			s.spans = s.spans[:maxMessages]
			break
		}
	}
	s.finish()
	s.cut(b)
	return s.Batch
}

// splitter reads a batch line by line.
type splitter struct {
	*Batch
	text     []byte
	spans    []span // of the messages in text
	seen     map[name]int
	open     *envelope // the batch that the next message belongs to
	inside   bool      // in a message
	ended    bool      // behind FTS
	warnings issue.List
}

type span struct{ start, end int }

func (s *splitter) fault(i *issue.Issue) {
	if len(s.Issues) < envelopeIssues {
		s.Issues = append(s.Issues, i)
	}
}

// where names the envelope segment just read, and a field of it.
func (s *splitter) where(n name, field int) string {
	p := Path{seg: n, field: uint32(field)}
	if k := s.seen[n]; k > 1 {
		p.occ = uint32(k)
	}
	return p.String()
}

func (s *splitter) wrong(n name, text string) {
	s.fault(issue.New(issue.Structure, s.where(n, 0), text))
}

func (s *splitter) line(l line) {
	switch l.kind {
	case msh:
		s.message(l)
	case fhs:
		if s.seen[fhs] > 1 || len(s.batches) > 0 {
			s.wrong(fhs, "a file header that is not the first segment")
		}
		s.file.headed, s.file.head = true, s.header(l)
	case bhs:
		s.batch(l)
	case bts:
		s.endBatch(l)
	case fts:
		s.endFile(l)
	default:
		if s.inside {
			s.spans[len(s.spans)-1].end = l.next
			return
		}
		s.fault(issue.New(issue.Structure, "line "+strconv.Itoa(l.number), "stands in no message: want MSH, BHS, BTS or FTS"))
		return
	}
	s.inside = l.kind == msh
}

func (s *splitter) message(l line) {
	switch {
	case s.ended:
		s.wrong(msh, "a message behind the end of the file (FTS)")
	case s.open == nil && len(s.batches) > 0:
		s.wrong(msh, "a message between batches: behind BTS, before the next BHS")
	}
	if s.open == nil {
		s.begin(envelope{})
	}
	s.open.count++
	s.spans = append(s.spans, span{l.start, l.next})
}

func (s *splitter) begin(e envelope) {
	s.batches = append(s.batches, e)
	s.open = &s.batches[len(s.batches)-1]
}

func (s *splitter) batch(l line) {
	switch {
	case s.ended:
		s.wrong(bhs, "a batch behind the end of the file (FTS)")
	case s.open != nil && !s.open.headed:
		s.wrong(bhs, "messages stand before the first batch")
	case s.open != nil:
		s.unclosed()
	}
	s.begin(envelope{headed: true, head: s.header(l)})
}

func (s *splitter) endBatch(l line) {
	switch {
	case s.open == nil:
		s.wrong(bts, "BTS without BHS")
		return
	case !s.open.headed:
		s.warn(s.where(bts, 0), "a batch without BHS: its beginning may be missing")
	}
	s.counted(l, s.open, "messages")
	s.open = nil
}

func (s *splitter) endFile(l line) {
	switch {
	case s.ended:
		s.wrong(fts, "the file ends twice")
	case !s.file.headed && len(s.batches) == 0:
		s.wrong(fts, "FTS without FHS")
	default:
		if !s.file.headed {
			s.warn(s.where(fts, 0), "a file without FHS: its beginning may be missing")
		}
		s.file.count = s.seen[bhs]
		if s.file.count == 0 && len(s.batches) > 0 && string(l.trailer(s.text)) != "0" {
			s.file.count = 1 // messages without BHS are a batch (§2.10.3.1), or none
		}
		s.counted(l, &s.file, "batches")
	}
	if s.open != nil && s.open.headed {
		s.unclosed()
	}
	s.open, s.ended = nil, true
}

// counted compares what a trailer states with what was there.
func (s *splitter) counted(l line, e *envelope, what string) {
	e.stated = string(l.trailer(s.text))
	if e.stated == "" || e.stated == `""` {
		return
	}
	switch n, err := strconv.Atoi(e.stated); {
	case err != nil:
		s.fault(issue.New(issue.Value, s.where(l.kind, 1), "the count is no number"))
	case n != e.count:
		s.fault(issue.New(issue.Structure, s.where(l.kind, 1), "states "+strconv.Itoa(n)+" "+what+", here are "+strconv.Itoa(e.count)))
	}
}

func (s *splitter) unclosed() {
	p := Path{seg: bhs}
	if n := len(s.batches); n > 1 {
		p.occ = uint32(n)
	}
	s.warn(p.String(), "a batch without BTS: its end may be missing")
}

func (s *splitter) warn(where, text string) {
	s.warnings = append(s.warnings, issue.Warn(issue.Structure, where, text))
}

func (s *splitter) finish() {
	if s.open != nil && s.open.headed {
		s.unclosed()
	}
	if s.file.headed && !s.ended {
		s.warn("FHS", "a file without FTS: its end may be missing")
	}
	s.Issues = append(s.Issues, s.warnings[:min(len(s.warnings), envelopeIssues)]...)
}

// header reads FHS or BHS, whose delimiters are its own.
func (s *splitter) header(l line) *Message {
	raw := s.text[l.start:l.end]
	d, err := delimiters(raw)
	if err != nil {
		i := issue.From(err)
		s.fault(issue.New(i.Kind, strings.Replace(i.Where, "MSH", l.kind.String(), 1), i.Text))
		return nil
	}
	m := &Message{raw: raw, del: d}
	if m.add(l.kind, 0, len(raw)) != nil {
		return nil
	}
	return m
}

// cut gives the messages as parts of the input.
func (s *splitter) cut(b []byte) {
	s.Messages = make([][]byte, len(s.spans))
	read, at := 0, 0 // bytes of text, and of b, passed so far
	if s.wide != nil && s.wide.mark {
		at = s.wide.unit
	}
	for i, p := range s.spans {
		if s.wide == nil {
			s.Messages[i] = b[p.start:p.end:p.end]
			continue
		}
		from := min(at+s.wide.size(s.text[read:p.start]), len(b))
		read, at = p.end, min(from+s.wide.size(s.text[p.start:p.end]), len(b))
		s.Messages[i] = b[from:at:at]
	}
}

// trailer gives field 1 of a trailer segment; its separator is the byte behind its name.
func (l line) trailer(text []byte) []byte {
	raw := text[l.start:l.end]
	if len(raw) < 5 {
		return nil
	}
	field, _, _ := bytes.Cut(raw[4:], raw[3:4])
	return bytes.TrimSpace(field)
}
