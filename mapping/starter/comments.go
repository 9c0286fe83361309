package starter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

func (j *job) line(format string, args ...any) { fmt.Fprintf(&j.file, format+"\n", args...) }

func (j *job) done() File { return File{j.folder + "/" + j.name + ".yaml", j.file.String()} }

func (j *job) head() {
	if j.ships {
		j.line("# Rules of yours for %s, tried before the shipped ones. In a single element the first rule that has a value wins.", j.name)
	} else {
		j.line("# %s: FROM -> TO: HOW, a rule a line.", j.name)
	}
	j.line("#")
}

func (j *job) with() string {
	if j.ships {
		return ", and the shipped rules that begin or end there"
	}
	return ""
}

// begin is what stands behind the comments.
func (j *job) begin(rule string) {
	j.line("map: %s", j.name)
	if j.ships {
		j.line("extend: true")
	}
	j.line("# rules:\n#   - %s\n#     when: '…'          # a condition, where it needs one", rule)
}

// fields lists what the standard has for a segment.
func (j *job) fields(segment string) {
	if segment[0] == 'Z' {
		j.line("#   the standard knows none: every field and component of a Z segment exists, and repeats")
		return
	}
	last := 0
	for n := 1; n < 200; n++ { // a segment has numbers without a field
		if _, ok := hl7.LookupField(segment, n); ok {
			last = n
		}
	}
	for n := 1; n <= last; n++ {
		if f, ok := hl7.LookupField(segment, n); ok {
			j.place(fmt.Sprintf("%s-%d", segment, n), f.Datatype, f.Name, f.Table, f.Repeats)
		}
	}
}

// place is one line for a field or component, and one for each shipped rule about it.
func (j *job) place(at, datatype, name, table string, repeats bool) {
	if repeats {
		datatype += "*"
	}
	if table != "" {
		name += ", table " + table
	}
	j.line("#   %-8s %-7s %s", at, datatype, name)
	for _, r := range j.set.Rules() {
		if r.Map == j.name && mentions(r.Text, at) {
			j.line("#            %s", r.Text)
		}
	}
}

// mentions tells whether a rule has a place on one of its sides.
func mentions(rule, at string) bool {
	for _, side := range strings.SplitN(rule, " -> ", 2) {
		side = strings.TrimPrefix(strings.TrimPrefix(side, "ignore "), "check ")
		if rest, ok := strings.CutPrefix(side, at); ok && (rest == "" || strings.ContainsAny(rest[:1], ".[: ")) {
			return true
		}
	}
	return false
}

// elements lists what a FHIR type has.
func (j *job) elements(typ *fhir.Type) {
	j.line("#\n# The elements of %s (* repeats, ! is required):", typ.Name)
	for _, d := range typ.Elements {
		switch d.Name {
		case "id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension":
			continue
		}
		kind := d.Type.Name
		if d.Max < 0 {
			kind += "*"
		}
		if d.Min > 0 {
			kind += "!"
		}
		if d.Binding != nil && len(d.Binding.Codes) <= 12 {
			kind += ": " + strings.Join(d.Binding.Codes, ", ")
		}
		j.line("#   %-22s %s", d.Name, kind)
	}
	j.line("#")
}

// textElement gives a text element of a type that no shipped rule of the map writes, for the example of a rule.
func (j *job) textElement(typ *fhir.Type) string {
	for _, d := range typ.Elements {
		if d.Type.Name == "string" && d.Name != "id" && !j.said(d.Name) {
			return d.Name
		}
	}
	for _, d := range typ.Elements {
		if d.Type.Name == "CodeableConcept" && d.Max == 1 && !j.said(d.Name) {
			return d.Name + ".text"
		}
	}
	for _, d := range typ.Elements {
		if text, ok := d.Type.Element("text"); ok && text.Type.Name == "string" && d.Max < 0 {
			return d.Name + "[0].text"
		}
	}
	return "id"
}

// said tells whether a shipped rule of the map is about an element or place.
func (j *job) said(name string) bool {
	return slices.ContainsFunc(j.set.Rules(), func(r mapping.Rule) bool { return r.Map == j.name && mentions(r.Text, name) })
}

// plainField gives the first field of a segment that is one text.
func plainField(segment string) string {
	for n := 1; n < 200; n++ {
		f, ok := hl7.LookupField(segment, n)
		if parts, known := hl7.LookupDatatype(f.Datatype); ok && f.Datatype != "SI" && (f.Datatype == "varies" || known && len(parts) < 2) {
			return fmt.Sprintf("%s-%d", segment, n)
		}
	}
	return segment + "-1.1"
}

// users gives the message maps that ask for the map, into FHIR and out of it.
func (j *job) users() (into, out []mapping.MessageMap) {
	for _, m := range j.set.Messages() {
		for _, g := range m.Groups {
			for _, name := range g.Maps {
				if name != j.name {
					continue
				}
				if len(m.Events) > 0 {
					into = append(into, m)
				} else {
					out = append(out, m)
				}
			}
		}
	}
	return into, out
}

func (j *job) messageMap(name string) mapping.MessageMap {
	for _, m := range j.set.Messages() {
		if m.Name == name {
			return m
		}
	}
	return mapping.MessageMap{Name: name, Events: []string{strings.Replace(name, "_", "^", 1)}}
}
