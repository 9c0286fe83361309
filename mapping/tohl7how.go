package mapping

import (
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// backText writes by a conversion.
func backText(convert func(*writing, string) string) backWriter {
	return func(s *scope, at spot, el fhir.Element, computed string) bool {
		if el.OK() {
			computed = el.Text()
		}
		out := convert(s.out, computed)
		if out == "" {
			return false
		}
		return s.out.text(at, out)
	}
}

// backTabled writes by a table.
func backTabled(t *table) backWriter {
	return func(s *scope, at spot, el fhir.Element, computed string) bool {
		if el.OK() {
			computed = el.Text()
		}
		out, ok := t.translate(computed)
		if !ok {
			if computed != "" && !t.quiet {
				s.out.issues = append(s.out.issues, issue.Warn(issue.Code, el.Path(), "a code that table "+t.name+" does not list"))
			}
			return false
		}
		return s.out.put(at, out)
	}
}

// backMapped writes by a data type map.
func backMapped(p *reverse) backWriter {
	return func(s *scope, at spot, el fhir.Element, _ string) bool {
		inner := &scope{out: s.out, node: el, at: at}
		before := len(s.out.filled)
		for _, r := range p.rules {
			r.run(inner)
		}
		return len(s.out.filled) > before
	}
}

// systemName gives the name a message uses for a coding system's uri: the inverse of codingSystem.
func systemName(t *table) func(*writing, string) string {
	names := map[string]string{}
	if t != nil {
		for _, c := range t.list {
			if _, ok := names[c.to.s]; !ok {
				names[c.to.s] = c.from.s
			}
		}
	}
	return func(_ *writing, uri string) string {
		if name, ok := names[uri]; ok {
			return name
		}
		if name, ok := strings.CutPrefix(uri, "urn:id:"); ok {
			return strings.ReplaceAll(name, "%20", " ")
		}
		return strings.TrimPrefix(uri, "urn:oid:")
	}
}

// embed writes an Attachment: embedded (ED) when its bytes can be had, else its url as a pointer (RP).
func embed(s *scope, at spot, att fhir.Element, _ string) bool {
	w := s.out
	main, sub, _ := strings.Cut(att.Child("contentType").Text(), "/")
	url := att.Child("url").Text()
	sha, named := strings.CutPrefix(url, shaURL)
	data, err := w.content(att, sha, named)
	if err != nil {
		w.issues = append(w.issues, found(err, att.Path()))
		return false
	}
	parts := []string{url, "", main, sub}
	if data != nil {
		parts = []string{"", main, sub, "Base64"}
	}
	for i, text := range parts {
		if text != "" {
			w.put(spot{at.field, at.rep, i + 1, 0}, text)
		}
	}
	if data != nil {
		w.b.SetRaw(at.field, at.rep, 5, 0, data)
	}
	return data != nil || url != ""
}

// found places an error of the file store.
func found(err error, where string) *issue.Issue {
	i := *issue.From(err)
	i.Where = where
	return &i
}

// content gives what stands for an attachment's content: its own base64, or the mark of the file that
// Out.Files has under its hash; nil when it has only a url.
func (w *writing) content(att fhir.Element, sha string, named bool) ([]byte, error) {
	data := att.Child("data")
	if d, ok := data.Data(); ok {
		return w.out.mark(d), nil
	}
	if data.OK() {
		return []byte(data.Text()), nil
	}
	if !named {
		return nil, nil
	}
	if w.o.Files == nil {
		return nil, issue.New(issue.NotFound, "", "a file that is named by its hash and cannot be fetched")
	}
	d, err := w.o.Files(sha)
	if err != nil {
		return nil, err
	}
	return w.out.mark(d), nil
}

func (w *writing) now() string { return w.o.At.In(w.zone).Format("20060102150405-0700") }

func (w *writing) time(in string) string { return w.moment(in, 6) }

func (w *writing) date(in string) string { return w.moment(in, 3) }

// moment writes a FHIR date or time as HL7 does; what is none is not written.
func (w *writing) moment(in string, precision int) string {
	m, ok := parseMoment(in)
	if !ok {
		return ""
	}
	m.precision = min(m.precision, precision)
	return string(m.appendHL7(nil, w.zone))
}
