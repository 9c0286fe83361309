package mapping

import (
	"slices"
	"strings"
)

// MessageMap is what a message map says, for whoever shows it.
type MessageMap struct {
	Name   string   // "REF_I12", "Bundle[RRI_I12]"
	Events []string // into FHIR: "REF^I12"
	Needs  []string // into FHIR: segments that must be there
	Groups []Group  // resources into FHIR, segments out of it
}

// Group is a resource or segment of a message map.
type Group struct {
	Name string   // "photos"; of a segment: "OBX"
	Type string   // "Media"; of a segment: "OBX"
	Maps []string // "OBX[Media]"
}

// TableInfo is what a table says, for whoever shows it.
type TableInfo struct {
	Name, System, Otherwise string
	Codes                   [][2]string // from and to, as they stand
	Quiet                   bool        // a code that is not listed is no trouble
}

// Messages gives the message maps, those into FHIR first, by name.
func (s *Set) Messages() []MessageMap {
	var into, out []MessageMap
	for _, name := range keys(s.sources) {
		src := s.sources[name]
		m := MessageMap{Name: name}
		for _, g := range append(slices.Clone(src.groups), withInner(src.segments)...) {
			group := Group{Name: g.name.s, Type: g.typ.s}
			for _, t := range g.maps {
				group.Maps = append(group.Maps, t.s)
			}
			m.Groups = append(m.Groups, group)
		}
		for _, e := range src.events {
			m.Events = append(m.Events, e.s)
		}
		for _, x := range src.expect {
			if strings.HasPrefix(x.count.s, "1") {
				m.Needs = append(m.Needs, x.segment.s)
			}
		}
		switch {
		case src.to == "":
			into = append(into, m)
		case src.from == "Bundle" && !isSegment(src.to):
			out = append(out, m)
		}
	}
	return append(into, out...)
}

// Maps gives the names of all segment, data type and message maps.
func (s *Set) Maps() []string { return keys(s.sources) }

// Tables gives the tables by name.
func (s *Set) Tables() []TableInfo {
	var out []TableInfo
	for _, name := range keys(s.tables) {
		t := s.tables[name]
		info := TableInfo{Name: name, System: t.system.s, Otherwise: t.otherwise.s, Quiet: t.quiet}
		for _, c := range t.list {
			info.Codes = append(info.Codes, [2]string{c.from.s, c.to.s})
		}
		out = append(out, info)
	}
	return out
}
