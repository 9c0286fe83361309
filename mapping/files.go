package mapping

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// payload is what a repetition of OBX-5 holds when it holds a file. OBX-2 does not decide it: two thirds of
// the senders seen write something else than ED there.
type payload struct {
	seg   hl7.Segment
	rep   int
	kind  string // "photo", "document", "broken" (a file that cannot be read), "" (data, no file)
	media string
	url   string // of a pointer (RP); there is no file
	file  image.File
	sums  sums // of file, where they are known already
	facts image.Facts
	where hl7.Path // of the data
	value hl7.Value
}

// file gives the payload under a scope's current repetition of OBX-5; it is looked at once.
func (r *run) file(s *scope) *payload {
	if !s.seg.Is("OBX") {
		return &payload{}
	}
	rep := max(s.path.Repetition(), 1)
	if s.field != 5 {
		rep = 1
	}
	first := &r.looked[s.seg.Index()] // the place of that of its first repetition in payloads, from 1
	if rep == 1 && *first > 0 {
		return &r.payloads[*first-1]
	}
	for i := range r.payloads {
		if p := &r.payloads[i]; rep > 1 && p.seg == s.seg && p.rep == rep {
			return p
		}
	}
	p := payload{seg: s.seg, rep: rep}
	p.value = r.repetition(s.seg, 5, rep)
	p.where = s.seg.Path(5).Repeat(rep)
	p.find(r)
	if r.payloads = append(r.payloads, p); rep == 1 {
		*first = int32(len(r.payloads))
	}
	return &r.payloads[len(r.payloads)-1]
}

// find recognises a file by its shape: five components source^type^subtype^encoding^data (ED), a pointer
// (RP), a data url, or long bare base64 whose bytes are a known type.
func (p *payload) find(r *run) {
	v := p.value
	if !v.Valued() {
		return
	}
	n := v.Components()
	if n < 3 && v.Size() < bareLength && !r.is(r.pieces.Component(p.seg.Index(), 2, 1), "RP") { // as most are: no file
		return
	}
	switch {
	case n >= 5 && encodingWord(r.verbatim(v.Component(4))) && v.Component(5).Valued():
		p.where = p.where.Part(5, 0)
		p.decode(r, v.Component(5), v.Component(4), declared(r.verbatim(v.Component(2)), r.verbatim(v.Component(3))))
	case v.Component(1).Valued() && string(r.field(p.seg, 2).Component(1).Raw()) == "RP",
		bytes.Contains(v.Component(1).Raw(), []byte("://")) && declared(r.verbatim(v.Component(3)), r.verbatim(v.Component(4))) != "":
		p.pointer(r, v)
	case n <= 5 && len(v.Raw()) >= bareLength:
		p.bare(r, v)
	}
}

// bareLength is how long an OBX-5 without ED shape must be to be tried as base64: shorter than any photo,
// longer than words that happen to be base64.
const bareLength = 64

// encodingWord tells a value of ED.4 (table 0299) as senders write it; an empty one is sniffed.
func encodingWord(text string) bool {
	switch strings.ToUpper(text) {
	case "BASE64", "A", "HEX", "":
		return true
	}
	return false
}

// declared gives the media type that ED.2 and ED.3 say, in any of the spellings seen; "" when they say none.
// "image/" alone stands for a photo of unstated type.
func declared(typ, subtype string) string {
	main, sub := strings.ToLower(typ), strings.ToLower(subtype)
	if _, after, ok := strings.Cut(sub, "/"); ok {
		sub = after
	}
	if _, after, ok := strings.Cut(main, "/"); ok && sub == "" {
		sub = after
	}
	for _, word := range []string{sub, main} {
		switch word {
		case "jpeg", "jpg", "jpe", "pjpeg":
			return "image/jpeg"
		case "png", "gif", "webp", "heic", "bmp", "avif":
			return "image/" + word
		case "tiff", "tif":
			return "image/tiff"
		case "dicom", "dcm":
			return "application/dicom"
		case "pdf", "rtf":
			return "application/" + word
		case "xml", "html", "plain":
			return "text/" + word
		case "txt", "text", "tx", "ft":
			return "text/plain"
		}
	}
	if main == "im" || main == "image" {
		return "image/"
	}
	return ""
}

// sums of a file, hex.
type sums struct{ sha256, sha1 string }

// decode takes an embedded file out of its encoding, unless that was done while the message was read.
func (p *payload) decode(r *run, v, encoding hl7.Value, media string) {
	raw := v.Raw()
	if bytes.IndexByte(raw, r.m.Delimiters().Escape) >= 0 || bytes.ContainsAny(raw, " \r\n\t") || bytes.HasPrefix(raw, []byte("data:")) {
		raw = v.AppendBytes(nil)
	}
	if url, rest, ok := bytes.Cut(raw, []byte(",")); ok && bytes.HasPrefix(url, []byte("data:")) {
		raw = rest
	}
	if lifted, ok := r.o.Payloads[string(raw)]; ok {
		p.lifted(r, lifted, encoding, media)
		return
	}
	var data []byte
	var err error
	switch strings.ToUpper(encoding.Text()) {
	case "A":
		if media == "" {
			return // the A of a name
		}
		data = v.AppendBytes(nil)
	case "HEX":
		data, err = hex.DecodeString(string(withoutSpace(raw)))
	default:
		data, err = strictBase64(raw)
		if !encoding.Valued() && (err != nil || media == "" && !recognised(image.Sniff(data))) {
			return // not said to be a file and it does not look like one: an address, a name
		}
	}
	if err != nil {
		p.broken(r, err)
		return
	}
	p.judge(r, bytes.NewReader(data), media)
}

// lifted is decode for a payload that lies beside the message.
func (p *payload) lifted(r *run, l Payload, encoding hl7.Value, media string) {
	if !encoding.Valued() && media == "" && !l.Broken && !recognised(p.sniff(r, l.File)) {
		return
	}
	if l.Broken {
		p.broken(r, nil)
		return
	}
	p.sums = sums{l.SHA256, l.SHA1}
	p.judge(r, l.File, media)
}

func (p *payload) broken(r *run, why error) {
	p.kind = "broken"
	r.issues = append(r.issues, issue.New(issue.Value, p.where.String(), "an embedded file whose encoding is broken").Because(why))
}

// sniff tells a file's type. One that cannot be read ends the translation.
func (p *payload) sniff(r *run, f image.File) image.Type {
	t, err := image.SniffFile(f)
	r.unread = errors.Join(r.unread, err)
	return t
}

func strictBase64(raw []byte) ([]byte, error) {
	raw = withoutSpace(raw)
	out := make([]byte, base64.StdEncoding.DecodedLen(len(raw)))
	n, err := base64.StdEncoding.Strict().Decode(out, raw)
	return out[:n], err
}

// withoutSpace drops the line breaks that senders put into encoded data.
func withoutSpace(b []byte) []byte {
	if !bytes.ContainsAny(b, " \r\n\t") {
		return b
	}
	return bytes.Map(func(c rune) rune {
		if c == ' ' || c == '\r' || c == '\n' || c == '\t' {
			return -1
		}
		return c
	}, b)
}

// judge looks at the bytes. They decide what the file is: one that is not the photo it claims to be is a document, never
// a photo, and nothing of it is lost. A strict source refuses it.
func (p *payload) judge(r *run, file image.File, media string) {
	if media == "image/" && p.sniff(r, file).Photo() {
		media = "" // a photo of unstated type: the bytes say which
	}
	facts, trouble, err := image.Check(file, media, r.o.Limits)
	r.unread = errors.Join(r.unread, err)
	for _, i := range trouble {
		if i.Where == "" {
			i.Where = p.where.String()
		}
		switch {
		case i.Kind == issue.UnsupportedType && !strings.HasPrefix(media, "image/"):
			i.Severity = issue.Warning // an unknown document travels as it is
		case i.Kind == issue.Value && !facts.Type.Photo() && !r.o.Enforce:
			i.Severity = issue.Warning
		}
		r.issues = append(r.issues, i)
	}
	p.file, p.facts, p.kind = file, facts, "document"
	if facts.Type.Photo() {
		p.kind = "photo"
	}
	p.media = facts.Type.MediaType()
	if p.media == "" || facts.Type == image.Unknown {
		p.media = "application/octet-stream"
		if media != "" && !strings.HasPrefix(media, "image/") {
			p.media = media
		}
	}
}

// pointer reads RP: the pointer, its application, type and subtype. It is never fetched.
func (p *payload) pointer(r *run, v hl7.Value) {
	p.url = strings.TrimSpace(r.verbatim(v.Component(1)))
	p.media = declared(r.verbatim(v.Component(3)), r.verbatim(v.Component(4)))
	p.kind = "document"
	if strings.HasPrefix(p.media, "image/") {
		p.kind = "photo"
		p.media = strings.TrimSuffix(p.media, "image/")
	}
}

// bare tries a value without ED shape.
func (p *payload) bare(r *run, v hl7.Value) {
	c := v.Component(v.Components())
	raw := c.Raw()
	if url, rest, ok := bytes.Cut(raw, []byte(",")); ok && bytes.HasPrefix(url, []byte("data:")) {
		raw = rest
	}
	if _, ok := r.o.Payloads[string(raw)]; ok {
		p.where = p.where.Part(v.Components(), 0)
		p.decode(r, c, v.Component(-1), "")
		return
	}
	head := withoutSpace(raw[:min(len(raw), bareLength)])
	head = head[:len(head)/4*4]
	first := make([]byte, base64.StdEncoding.DecodedLen(len(head)))
	n, err := base64.StdEncoding.Decode(first, head)
	if err != nil || !recognised(image.Sniff(first[:n])) {
		return
	}
	p.where = p.where.Part(v.Components(), 0)
	p.decode(r, c, v.Component(-1), "")
}

// recognised tells the types whose first bytes cannot be chance.
func recognised(t image.Type) bool {
	return t != image.Unknown && t != image.Text && t != image.XML && t != image.HTML
}
