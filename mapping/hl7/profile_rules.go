package hl7

import (
	_ "embed" // tables.txt
	"strings"
	"sync"
)

//go:embed tables.txt
var tablesText string

// ruleset is the grammar made ready for judging: built once, on first use.
type ruleset struct {
	segments map[name]*segmentRule
	values   map[string]*place // of OBX-5, by data type
	tables   map[string]bool   // numbers of the tables that a coded place names
}

type segmentRule struct {
	fields   []place
	required []int // field numbers
	growing  bool  // from field 3 on what a query defines: not judged
}

// place is what a field, component or sub-component is judged by.
type place struct {
	shape    shape
	known    bool // some version has it
	required bool
	repeats  bool
	length   uint32 // characters; 0: no limit
	needs    uint32 // bits of the required among its parts, the first is bit 1
	parts    []place
	table    string
	codes    map[string]bool // of an ID whose table HL7 defines
}

// anything is a place whose type is unknown.
var anything = place{shape: open, known: true, repeats: true}

var rules = sync.OnceValue(func() *ruleset {
	b := ruleBuilder{g: standard(), tables: readTables(tablesText), types: map[string][]place{}, named: map[string]bool{}}
	r := &ruleset{segments: map[name]*segmentRule{}, values: map[string]*place{}, tables: b.named}
	for _, s := range b.g.segments {
		r.segments[packed(s)] = b.segment(s)
	}
	for t := range b.g.datatypes {
		p := b.place(t, "", usage{})
		p.repeats = true
		r.values[t] = &p
	}
	for t := range primitives {
		p := b.place(t, "", usage{})
		p.repeats = true
		r.values[t] = &p
	}
	return r
})

// CodedTable tells whether any version of the standard has a coded place (ID, IS, CE, CWE, CNE) of a table, by
// its number, "0001": whether Profile.Tables can have an effect for it.
func CodedTable(number string) bool { return number != "" && rules().tables[number] }

// readTables reads the values of HL7's tables, a table a line.
func readTables(text string) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		word := strings.Split(strings.TrimRight(line, "\n"), "\t")
		values := make(map[string]bool, len(word)-1)
		for _, v := range word[1:] {
			values[v] = true
		}
		all[word[0]] = values
	}
	return all
}

type ruleBuilder struct {
	g      *grammar
	tables map[string]map[string]bool
	types  map[string][]place // parts of a composite, shared by all its places
	named  map[string]bool    // tables that a coded place names
}

func (b *ruleBuilder) segment(name string) *segmentRule {
	fields := b.g.fields[name]
	r := &segmentRule{fields: make([]place, len(fields)), growing: name == "QPD" || name == "RDT"}
	for i, f := range fields {
		if f.Name == "" {
			continue
		}
		r.fields[i] = b.place(f.Datatype, f.Table, b.g.ofField[name][i])
		r.fields[i].repeats = f.Repeats
		if r.fields[i].required && !checkTells(name, i+1) {
			r.required = append(r.required, i+1)
		}
	}
	return r
}

// checkTells names the fields whose absence Check tells already, or that make the message one.
func checkTells(segment string, n int) bool { return segment == "MSH" && (n <= 2 || n == 9 || n == 10) }

func (b *ruleBuilder) place(datatype, table string, u usage) place {
	p := place{known: true, required: u.required, length: u.length, table: table}
	if parts := b.parts(datatype); parts != nil {
		p.parts, p.shape = parts, shapeText
		for i := range parts {
			if parts[i].required && i < 31 {
				p.needs |= 1 << (i + 1)
			}
		}
		if !coded[datatype] {
			p.table = ""
		}
	} else {
		p.shape = shapeOf(datatype)
	}
	b.named[p.table] = true
	if datatype == "ID" && !u.disputed {
		p.codes = b.tables[table]
	}
	if u.disputed {
		p.shape = open
	}
	return p
}

// coded are the composites whose first component is a value of the field's table.
var coded = map[string]bool{"CE": true, "CF": true, "CNE": true, "CWE": true}

func (b *ruleBuilder) parts(datatype string) []place {
	components := b.g.datatypes[datatype]
	if len(components) == 0 {
		return nil
	}
	if parts, ok := b.types[datatype]; ok {
		return parts
	}
	parts := make([]place, len(components))
	b.types[datatype] = parts
	for i, c := range components {
		if c.Name != "" {
			parts[i] = b.place(c.Datatype, c.Table, b.g.ofPart[datatype][i])
		}
	}
	return parts
}
