package hl7

import (
	"bytes"
	"iter"
	"math"
	"strconv"
	"sync/atomic"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Delimiters of a message, as MSH-1 and MSH-2 declare them. A zero byte means: not declared, never splits.
type Delimiters struct {
	Field, Component, Repetition, Escape, Subcomponent byte
	Truncation                                         byte // since v2.7 (§2.5.5.2), usually '#'
}

// Standard are the delimiters the standard recommends, `|^~\&`.
func Standard() Delimiters {
	return Delimiters{Field: '|', Component: '^', Repetition: '~', Escape: '\\', Subcomponent: '&'}
}

// encoding gives MSH-2.
func (d Delimiters) encoding() []byte {
	out := make([]byte, 0, 5)
	for _, c := range [...]byte{d.Component, d.Repetition, d.Escape, d.Subcomponent, d.Truncation} {
		if c == 0 {
			break
		}
		out = append(out, c)
	}
	return out
}

// Message is one HL7 v2 message over the bytes it was parsed from. After Parse it may be read from several
// goroutines at once.
type Message struct {
	raw     []byte
	del     Delimiters
	segs    []entry
	names   tally
	set     charset // what MSH-18 or the source's default says
	assumed bool    // set comes from the caller, MSH-18 being empty
	// alternates are the sets of a repeating MSH-18, which escape sequences may switch to; overruled: set comes
	// from the source, though MSH-18 names another.
	alternates []string
	overruled  bool
	// Of a transcoded message: raw is the text, original the input, invalid that not all of it is text.
	codec    *codec
	original []byte
	invalid  bool
	wrapped  []uint32
	owners   atomic.Pointer[[]int32] // computed once, on demand
}

// entry places a segment in the message; 16 bytes, so that 200,000 segments take 3.2 MB.
type entry struct {
	start, end uint32 // without the terminator
	name       name
	occurrence uint32 // 1-based among segments of the same name
}

// Parse reads one message. The message aliases b, which must not change while it is in use. The error is an
// *issue.Issue of kind Structure (TooLong above 2 GiB) that names the place.
func Parse(b []byte) (*Message, error) {
	m := new(Message)
	if err := m.Reset(b); err != nil {
		return nil, err
	}
	return m, nil
}

// Reset parses b into m, reusing its memory: nothing is allocated once m has seen a message of that size.
// After an error m holds nothing.
func (m *Message) Reset(b []byte) error {
	m.raw, m.segs, m.wrapped, m.del, m.set, m.assumed = nil, m.segs[:0], m.wrapped[:0], Delimiters{}, charset{}, false
	m.alternates, m.overruled, m.invalid, m.codec, m.original = m.alternates[:0], false, false, nil, nil
	m.owners.Store(nil)
	m.names.reset()
	if uint64(len(b)) > math.MaxInt32 {
		return issue.New(issue.TooLong, "", "a message above 2 GiB")
	}
	start, err := begin(b)
	if err != nil {
		return err
	}
	if m.del, err = delimiters(b[start:]); err != nil {
		return err
	}
	m.raw = b
	if err := m.split(start); err != nil {
		m.raw, m.segs = nil, m.segs[:0]
		return err
	}
	sets := m.segment(0).Field(18)
	first := sets.Repetition(1)
	m.set = charsetOf(first.word())
	if first.end < sets.end {
		m.readAlternates(sets)
	}
	return nil
}

// begin finds the MSH behind what files and careless senders put before it.
func begin(b []byte) (int, error) {
	i := 0
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		i = 3
	}
	for i < len(b) && filler(b[i]) {
		i++
	}
	rest := b[i:]
	switch {
	case len(rest) == 0:
		return 0, issue.New(issue.Structure, "MSH", "nothing here: the message is empty")
	case bytes.HasPrefix(rest, []byte("FHS")), bytes.HasPrefix(rest, []byte("BHS")):
		return 0, issue.New(issue.Structure, string(rest[:3]), "a batch, where a single message starting with MSH is expected")
	case !bytes.HasPrefix(rest, []byte("MSH")):
		if w, ok := wideOf(b); ok {
			name := "UTF-" + strconv.Itoa(8*w.unit)
			return 0, issue.New(issue.Structure, "MSH", name+" text, which is read only from a source that declares it (charset: UNICODE "+name+")")
		}
		return 0, issue.New(issue.Structure, "MSH", "not HL7 v2: "+looks(rest)+" where MSH is expected")
	}
	return i, nil
}

// filler tells bytes that may stand between segments and mean nothing: white space, MLLP's VT and FS, NUL.
func filler(c byte) bool {
	switch c {
	case '\r', '\n', ' ', '\t', 0x0b, 0x1c, 0:
		return true
	}
	return false
}

// looks says what foreign bytes resemble, to help whoever sent the wrong file; never what they say.
func looks(b []byte) string {
	switch {
	case b[0] == '{' || b[0] == '[':
		return "JSON"
	case b[0] == '<':
		return "XML"
	case bytes.HasPrefix(b, []byte("GET ")), bytes.HasPrefix(b, []byte("POST ")):
		return "an HTTP request"
	case bytes.HasPrefix(b, []byte("\x16\x03")):
		return "a TLS handshake"
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		return "gzip"
	}
	return "other bytes"
}

// delimiters reads MSH-1 and MSH-2 (HL7 v2.8 §2.5.4).
func delimiters(b []byte) (Delimiters, error) {
	var d Delimiters
	if len(b) > 8 && string(b[3:9]) == `|^~\&|` { // as nearly all declare
		return Standard(), nil
	}
	if len(b) < 5 {
		return d, issue.New(issue.Structure, "MSH-2", "cut off: the message ends before its encoding characters")
	}
	d.Field = b[3]
	if !delimiting(d.Field) {
		return d, issue.New(issue.Structure, "MSH-1", "the field separator is not a separator character")
	}
	enc := b[4:]
	for i, c := range enc {
		if c == d.Field || c == '\r' || c == '\n' {
			enc = enc[:i]
			break
		}
		if i == 5 {
			return d, issue.New(issue.Structure, "MSH-2", "more than five encoding characters")
		}
	}
	if len(enc) == 0 {
		return d, issue.New(issue.Structure, "MSH-2", "no encoding characters")
	}
	to := [...]*byte{&d.Component, &d.Repetition, &d.Escape, &d.Subcomponent, &d.Truncation}
	for i, c := range enc {
		if !delimiting(c) || bytes.IndexByte(enc[:i], c) >= 0 {
			return d, issue.New(issue.Structure, "MSH-2", "encoding character "+strconv.Itoa(i+1)+" is no separator or stands twice")
		}
		*to[i] = c
	}
	return d, nil
}

// delimiting tells characters that can separate: printable ASCII, no letter, digit, space or quote (a quote
// would make the null value unreadable).
func delimiting(c byte) bool {
	return c > ' ' && c < 0x7f && c != '"' && !letter(c) && !digit(c)
}

// split finds the segments. Each byte is looked at once per terminator, however many segments there are.
func (m *Message) split(start int) error {
	cr, lf := lineEnds{c: '\r'}, lineEnds{c: '\n'}
	for pos := start; pos < len(m.raw); {
		end := min(cr.next(m.raw, pos), lf.next(m.raw, pos))
		if err := m.line(pos, end); err != nil {
			return err
		}
		pos = end + 1
	}
	return nil
}

// lineEnds remembers where a terminator comes next, so that LF is not sought again for every CR.
type lineEnds struct {
	c  byte
	at int
	ok bool
}

func (l *lineEnds) next(b []byte, pos int) int {
	if l.ok && l.at >= pos {
		return l.at
	}
	l.at, l.ok = len(b), true
	if i := bytes.IndexByte(b[pos:], l.c); i >= 0 {
		l.at = pos + i
	}
	return l.at
}

// line takes one line in: a segment, filler, or the rest of an OBX or NTE that a sender has wrapped.
func (m *Message) line(start, end int) error {
	for start < end && (m.raw[start] == 0x0b || m.raw[start] == 0x1c) {
		start++
	}
	for end > start && m.raw[end-1] == 0x1c {
		end--
	}
	line := m.raw[start:end]
	if n := nameOf(line, m.del.Field); n != 0 {
		return m.add(n, start, end)
	}
	if blank(line) {
		return nil
	}
	last := len(m.segs) - 1
	if last >= 0 && m.wraps(&m.segs[last], line) {
		m.segs[last].end = uint32(end)
		if n := len(m.wrapped); n == 0 || m.wrapped[n-1] != uint32(last) {
			m.wrapped = append(m.wrapped, uint32(last))
		}
		return nil
	}
	where, text := "segment "+strconv.Itoa(last+2), "not a segment: want a name of three capitals or digits, then the field separator"
	if end >= len(m.raw) && len(line) < 4 {
		text = "cut off: the message ends inside a segment name"
	}
	return issue.New(issue.Structure, where, text)
}

// wraps tells whether a line that starts no segment may be the rest of the one before.
func (m *Message) wraps(before *entry, line []byte) bool {
	return (before.name == obx || before.name == nte) && before.end != before.body() && wrapping(line, m.del.Field)
}

// wrapping tells whether a line that starts no segment may be the rest of an OBX or NTE: a payload or text
// that the sender broke. A short line, or one that nearly is a segment ("PV|1|", "PIDX|1|"), may not: it
// would disappear in another segment's value.
func wrapping(line []byte, field byte) bool {
	if len(line) < 4 || nameOf(line, 0).header() && heads(line) { // another message, with delimiters of its own
		return false
	}
	i := 0
	for i < len(line) && i < 6 && nameByte(line[i]) {
		i++
	}
	return i == len(line) || i > 5 || line[i] != field
}

func blank(b []byte) bool {
	for _, c := range b {
		if !filler(c) {
			return false
		}
	}
	return true
}

func (m *Message) add(n name, start, end int) error {
	k := m.names.add(n)
	if n == msh && k == 2 {
		return issue.New(issue.Structure, "MSH[2]", "two messages in one: a second MSH")
	}
	m.segs = append(m.segs, entry{start: uint32(start), end: uint32(end), name: n, occurrence: k})
	return nil
}

// Bytes gives the input, byte for byte; of a transcoded message (ParseIn) its text in UTF-8.
func (m *Message) Bytes() []byte { return m.raw }

// Delimiters gives what MSH declares.
func (m *Message) Delimiters() Delimiters { return m.del }

// Segments counts them.
func (m *Message) Segments() int { return len(m.segs) }

// Segment gives the i-th segment, counted from 0; the zero Segment when there is none.
func (m *Message) Segment(i int) Segment {
	if i < 0 || i >= len(m.segs) {
		return Segment{}
	}
	return m.segment(i)
}

func (m *Message) segment(i int) Segment { return Segment{m: m, i: i} }

// All walks the segments in order.
func (m *Message) All() iter.Seq2[int, Segment] {
	return func(yield func(int, Segment) bool) {
		for i := range m.segs {
			if !yield(i, m.segment(i)) {
				return
			}
		}
	}
}

// Count tells how many segments have that name.
func (m *Message) Count(segment string) int {
	return int(m.names.of(packed(segment)))
}

// Find gives the occurrence-th segment of a name, counted from 1; the zero Segment when there is none.
func (m *Message) Find(segment string, occurrence int) Segment {
	return m.find(packed(segment), uint32(max(occurrence, 1)))
}

func (m *Message) find(n name, occurrence uint32) Segment {
	if m == nil || occurrence > m.names.of(n) {
		return Segment{}
	}
	for i := range m.segs {
		if m.segs[i].name == n && m.segs[i].occurrence == occurrence {
			return Segment{m: m, i: i}
		}
	}
	return Segment{}
}

// Next gives the first segment of a name from index i on; the zero Segment when there is none.
func (m *Message) Next(segment string, i int) Segment {
	for n := letters(segment); i < len(m.segs); i++ {
		if m.segs[i].name == n {
			return m.segment(i)
		}
	}
	return Segment{}
}

// Type gives MSH-9: message code, trigger event and structure; what is not stated is empty.
func (m *Message) Type() (code, trigger, structure string) {
	t := m.Segment(0).Field(9)
	return t.Component(1).Text(), t.Component(2).Text(), t.Component(3).Text()
}

// ControlID gives MSH-10 as it stands, for MSA-2 and for the idempotency key.
func (m *Message) ControlID() []byte { return m.Segment(0).Field(10).Raw() }

// Version gives MSH-12.1, such as "2.4".
func (m *Message) Version() string { return m.Segment(0).Field(12).Component(1).Text() }
