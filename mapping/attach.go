package mapping

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"strconv"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
)

// attach writes the file under the scope as an Attachment: type, size, hash, and a url that names the bytes.
func attach(r *rule, s *scope) bool {
	p := s.run.file(s)
	if p.kind == "" || p.kind == "broken" {
		return false
	}
	return r.attach(s, p)
}

// attach writes a file that has been found.
func (r *rule) attach(s *scope, p *payload) bool {
	ok := r.setElement(s, func(att fhir.Element) bool {
		set := func(name, value string) {
			if value != "" {
				_ = att.Set(name, value) // cannot fail: elements of Attachment
			}
		}
		set("contentType", p.media)
		if p.url != "" {
			out, _ := uriText(s.run, p.url)
			set("url", out)
			return out != ""
		}
		sum, err := p.sum()
		if err != nil {
			s.run.unread = errors.Join(s.run.unread, err)
			return false
		}
		old, _ := hex.DecodeString(sum.sha1) // cannot fail: written as hex
		set("url", shaURL+sum.sha256)
		set("size", strconv.FormatInt(p.file.Size(), 10))
		set("hash", base64.StdEncoding.EncodeToString(old)) // FHIR R4 Attachment.hash is SHA-1
		if s.run.o.Files == FilesInline {
			file := p.file
			_ = att.SetData("data", fhir.Data{Size: file.Size(), Open: func() (io.ReadCloser, error) {
				return io.NopCloser(io.NewSectionReader(file, 0, file.Size())), nil
			}})
		}
		s.run.files = append(s.run.files, File{Where: p.where.String(), SHA256: sum.sha256, Content: p.file, Facts: p.facts, Element: s.resource})
		return true
	})
	if ok {
		s.run.use(p.value)
		s.in = input{v: p.value, at: byPath, path: p.where}
		r.traced(s, s.el, r.to.def)
	}
	return ok
}

// attachText writes all values of the place as one file of plain text, a line each.
func attachText(r *rule, s *scope) bool {
	text := bytes.Clone(r.linesOf(s))
	if len(bytes.TrimSpace(text)) == 0 {
		return false
	}
	p := payload{seg: s.seg, kind: "document", media: "text/plain; charset=utf-8", file: bytes.NewReader(text),
		facts: image.Facts{Type: image.Text}, where: s.seg.Path(r.from.field)}
	if other := r.from.segment; other != "" && !s.seg.Is(other) {
		p.where = s.run.m.Find(other, 1).Path(r.from.field)
	}
	return r.attach(s, &p)
}

// sum gives the hashes of the file.
func (p *payload) sum() (sums, error) {
	if p.sums.sha256 != "" {
		return p.sums, nil
	}
	long, short := sha256.New(), sha1.New()
	if _, err := io.Copy(io.MultiWriter(long, short), io.NewSectionReader(p.file, 0, p.file.Size())); err != nil {
		return sums{}, &image.ReadError{Cause: err}
	}
	p.sums = sums{hex.EncodeToString(long.Sum(nil)), hex.EncodeToString(short.Sum(nil))}
	return p.sums, nil
}

// pixels writes the photo's width or height as its header says.
func pixels(of func(image.Facts) int) writer {
	return func(r *rule, s *scope) bool {
		n := of(s.run.file(s).facts)
		if n <= 0 {
			return false
		}
		v := s.in.v
		s.in.v = hl7.Value{} // the file's rule uses it
		ok := r.setText(s, strconv.Itoa(n), false)
		s.in.v = v
		return ok
	}
}

func width(f image.Facts) int  { return f.Width }
func height(f image.Facts) int { return f.Height }

const shaURL = "urn:sha-256:"
