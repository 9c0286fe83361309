package fhir

import (
	"encoding/xml"
	"io"
	"slices"
	"strings"
)

// xhtml tells whether a text is a narrative as R4 allows it (narrative.html, txt-1 and txt-2): one div in
// the XHTML name space, with the elements of formatting and nothing that runs or loads by itself.
func xhtml(s string) bool {
	d := xml.NewDecoder(strings.NewReader(s))
	depth, solid := 0, false
	for first := true; ; first = false {
		token, err := d.Token()
		if err == io.EOF {
			return !first && depth == 0 && solid
		}
		if err != nil {
			return false
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 && (!first || t.Name.Local != "div") || !harmless(t) {
				return false
			}
			depth++
			solid = solid || t.Name.Local == "img"
		case xml.EndElement:
			depth--
		case xml.CharData:
			blank := strings.TrimSpace(string(t)) == ""
			if depth == 0 && !blank {
				return false
			}
			solid = solid || !blank
		case xml.Comment:
		default: // a directive (a document type, so entities) or a processing instruction
			return false
		}
	}
}

// harmless tells whether an element and its attributes may stand in a narrative.
func harmless(e xml.StartElement) bool {
	if e.Name.Space != "http://www.w3.org/1999/xhtml" || !slices.Contains(narrative, e.Name.Local) {
		return false
	}
	for _, a := range e.Attr {
		name := strings.ToLower(a.Name.Local)
		if strings.HasPrefix(name, "on") {
			return false
		}
		if (name == "href" || name == "src") && !safeLink(a.Value) {
			return false
		}
	}
	return true
}

// safeLink is one inside the resource, or to the web or mail; never a script or a document in itself.
func safeLink(s string) bool {
	scheme, _, ok := strings.Cut(strings.ToLower(strings.TrimSpace(s)), ":")
	return !ok || scheme == "http" || scheme == "https" || scheme == "mailto" || strings.ContainsAny(scheme, "/?#")
}

// narrative lists the elements of HTML 4.0 chapters 7 to 11 (but section 4 of chapter 9) and 15, a and img.
var narrative = strings.Fields(`a abbr acronym address b bdo big blockquote br caption cite code col colgroup
	dd del dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li ol p pre q samp small span strong sub sup
	table tbody td tfoot th thead tr tt ul var`)
