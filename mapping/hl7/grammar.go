package hl7

import (
	_ "embed" // grammar.txt
	"strconv"
	"strings"
	"sync"
)

//go:embed grammar.txt
var grammarText string

// Field is what the standard says of a field.
type Field struct {
	Name     string // "Patient Identifier List"
	Datatype string // "CX"; "varies" for OBX-5 and its like
	Repeats  bool
	Table    string // HL7 table number, "0001"; empty when none
}

// Component is what the standard says of a component of a data type.
type Component struct {
	Name     string
	Datatype string
	Table    string
}

// grammar is the union of the standard's versions, so that a map compiles for senders of any of them.
type grammar struct {
	segments  []string     // in alphabetical order
	numbers   map[name]int // of segments: their places there, from 1
	fields    map[string][]Field
	datatypes map[string][]Component
	ofField   map[string][]usage // beside fields
	ofPart    map[string][]usage // beside datatypes
}

// usage is what the standard demands of a field or component, over all versions.
type usage struct {
	length   uint32 // the greatest any version states, in characters; 0: none
	required bool   // by every version that has the place
	disputed bool   // the versions disagree about its shape
}

var standard = sync.OnceValue(func() *grammar { return readGrammar(grammarText) })

// primitives have no components.
var primitives = map[string]bool{"DT": true, "DTM": true, "FT": true, "GTS": true, "ID": true, "IS": true,
	"NM": true, "SI": true, "SNM": true, "ST": true, "TM": true, "TN": true, "TX": true, "varies": true}

func readGrammar(text string) *grammar {
	g := &grammar{numbers: map[name]int{}, fields: map[string][]Field{}, datatypes: map[string][]Component{},
		ofField: map[string][]usage{}, ofPart: map[string][]usage{}}
	var kind, name string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		first, rest, _ := strings.Cut(line, " ")
		switch first {
		case "", "#":
		case "segment":
			kind, name = first, rest
			g.segments = append(g.segments, name)
			g.numbers[packed(name)] = len(g.segments)
		case "type":
			kind, name = first, rest
		default:
			g.add(kind, name, line)
		}
	}
	return g
}

// add reads "3 CX*! 0061 250 Patient Identifier List" into its segment or data type. Numbers may have gaps:
// places no version defines.
func (g *grammar) add(kind, name, line string) {
	part := strings.SplitN(line, " ", 5)
	n, err := strconv.Atoi(part[0])
	if err != nil || len(part) < 5 {
		return
	}
	datatype := strings.TrimRight(part[1], "*!?")
	marks := part[1][len(datatype):]
	table, text := strings.TrimPrefix(part[2], "-"), part[4]
	length, _ := strconv.Atoi(strings.TrimPrefix(part[3], "-"))
	u := usage{length: uint32(length), required: strings.Contains(marks, "!"), disputed: strings.Contains(marks, "?")}
	if kind == "type" {
		g.datatypes[name] = put(g.datatypes[name], n, Component{Name: text, Datatype: datatype, Table: table})
		g.ofPart[name] = put(g.ofPart[name], n, u)
		return
	}
	g.fields[name] = put(g.fields[name], n, Field{Name: text, Datatype: datatype, Repeats: strings.Contains(marks, "*"), Table: table})
	g.ofField[name] = put(g.ofField[name], n, u)
}

// put sets the n-th element, counted from 1, of a list that grows.
func put[T any](list []T, n int, v T) []T {
	if n > len(list) {
		list = append(list, make([]T, n-len(list))...)
	}
	list[n-1] = v
	return list
}

// Segments names every segment of the standard, in alphabetical order.
func Segments() []string { return append([]string(nil), standard().segments...) }

// SegmentNumber gives the place of a segment among Segments, from 1; 0 for one that the standard does not have.
func SegmentNumber(segment string) int { return standard().numbers[packed(segment)] }

// LookupSegment tells whether the standard knows the segment in any version. Z segments are known freely.
func LookupSegment(segment string) bool {
	return local(segment) || standard().fields[segment] != nil
}

// local tells a site-defined segment: Z and two (some write three) capitals or digits.
func local(segment string) bool { return packed(segment) != 0 && segment[0] == 'Z' }

// LookupField gives field n of a segment, over all versions. Every field of a Z segment exists, repeats and
// varies.
func LookupField(segment string, n int) (Field, bool) {
	if local(segment) {
		return Field{Datatype: "varies", Repeats: true}, n >= 1
	}
	list := standard().fields[segment]
	if n < 1 || n > len(list) || list[n-1].Name == "" {
		return Field{}, false
	}
	return list[n-1], true
}

// LookupDatatype gives the components of a data type, over all versions: none for a primitive. The slice is
// shared and not to be changed.
func LookupDatatype(datatype string) ([]Component, bool) {
	if primitives[datatype] {
		return nil, true
	}
	list, ok := standard().datatypes[datatype]
	return list, ok
}

// CheckPath tells why a place does not exist in any version of the standard; "" when it does. Where the
// type varies (OBX-5, Z segments) every component exists; a primitive has one component and sub-component.
func CheckPath(p Path) string {
	segment := p.Segment()
	if !LookupSegment(segment) {
		return "no segment " + segment
	}
	if p.Field() == 0 {
		return ""
	}
	f, ok := LookupField(segment, p.Field())
	if !ok {
		return segment + " has no field " + strconv.Itoa(p.Field())
	}
	if p.Repetition() > 1 && !f.Repeats {
		return segment + "-" + strconv.Itoa(p.Field()) + " does not repeat"
	}
	component, why := part(f.Datatype, p.Component())
	if why != "" || p.Component() == 0 {
		return why
	}
	_, why = part(component, p.Subcomponent())
	return why
}

// part gives the data type of component n of a data type, or why there is none.
func part(datatype string, n int) (string, string) {
	list, known := LookupDatatype(datatype)
	switch {
	case n == 0, datatype == "varies", !known:
		return "varies", ""
	case len(list) == 0 && n == 1:
		return datatype, ""
	case n > len(list) || list[n-1].Name == "":
		return "", datatype + " has no component " + strconv.Itoa(n)
	}
	return list[n-1].Datatype, ""
}
