package hl7

import (
	_ "embed" // versions.txt
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/dermgate/dermgate/mapping/issue"
)

//go:embed versions.txt
var versionsText string

// Versions are those of the standard that a message can be written in (MSH-12), oldest first.
var Versions = []string{"2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8"}

// Version is what one version of the standard says of its places, where the grammar of CheckPath is the union of all.
type Version struct{ n int }

// VersionOf gives a version by its MSH-12; false for one that is not of Versions.
func VersionOf(name string) (Version, bool) {
	n := slices.Index(Versions, name)
	return Version{n}, n >= 0
}

// definition is what a version says of a field or component.
type definition struct {
	datatype string // as the version calls it; empty: it has no such place
	repeats  bool
	length   int // in characters; 0: none stated
}

// definitions are those of a segment's fields or a data type's components, by number from 1 and by version.
type definitions [][]definition

var versionBlocks = sync.OnceValue(func() map[string]func() definitions {
	blocks := map[string]func() definitions{}
	for block := range strings.SplitSeq("\n"+versionsText, "\nsegment ") {
		for i, b := range strings.Split(block, "\ntype ") {
			name, body, _ := strings.Cut(b, "\n")
			if i > 0 {
				name = "type " + name
			}
			blocks[name] = sync.OnceValue(func() definitions { return readDefinitions(body) })
		}
	}
	return blocks
})

// readDefinitions reads lines such as "3 2.3:CE:590 2.6:CWE*:705 2.8:-": from which version on the place is what.
func readDefinitions(body string) definitions {
	var out definitions
	for line := range strings.Lines(body) {
		words := strings.Fields(line)
		n, err := strconv.Atoi(words[0])
		if err != nil {
			continue
		}
		all := make([]definition, len(Versions))
		for _, word := range words[1:] {
			part := strings.Split(word, ":")
			d := definition{datatype: strings.TrimSuffix(part[1], "*"), repeats: strings.HasSuffix(part[1], "*")}
			if part[1] == "-" {
				d = definition{}
			}
			if len(part) > 2 {
				d.length, _ = strconv.Atoi(part[2])
			}
			for v := slices.Index(Versions, part[0]); v < len(all); v++ {
				all[v] = d
			}
		}
		out = put(out, n, all)
	}
	return out
}

// define gives what the version says of place n of a segment, "RF1", or of a data type, "type CWE".
func (v Version) define(of string, n int) definition {
	block := versionBlocks()[of]
	if block == nil {
		return definition{}
	}
	if list := block(); n >= 1 && n <= len(list) && list[n-1] != nil {
		return list[n-1][v.n]
	}
	return definition{}
}

// Lacks tells why a place is not in the version: a segment, field, repetition, component or sub-component that it does
// not know; "" where it is, and in Z segments and fields of varying type. 0 for comp or sub means the whole.
func (v Version) Lacks(segment string, field, rep, comp, sub int) string {
	if local(segment) {
		return ""
	}
	f := v.define(segment, field)
	switch {
	case f.datatype == "" && !v.has(segment):
		return "no such segment"
	case f.datatype == "":
		return "no such field"
	case rep > 1 && !f.repeats:
		return "no repetitions of this field"
	case comp == 0 || f.datatype == "varies":
		return ""
	}
	c, ok := v.within(f.datatype, comp)
	if !ok {
		return "no such component"
	}
	if _, ok := v.within(c, sub); sub > 0 && !ok {
		return "no such sub-component"
	}
	return ""
}

// has tells whether the version has a segment, or a data type that is made of components ("type CX").
func (v Version) has(of string) bool {
	block := versionBlocks()[of]
	return block != nil && slices.ContainsFunc(block(), func(d []definition) bool { return d != nil && d[v.n].datatype != "" })
}

// within gives the data type of part n of a data type; a primitive has one, itself.
func (v Version) within(datatype string, n int) (string, bool) {
	if d := v.define("type "+datatype, n); d.datatype != "" {
		return d.datatype, true
	}
	return datatype, n == 1 && !v.has("type "+datatype)
}

// Length gives the characters that the version allows one repetition of a field, or its component or sub-component; 0
// where it states none.
func (v Version) Length(segment string, field, comp, sub int) int {
	f := v.define(segment, field)
	if comp == 0 {
		return f.length
	}
	c := v.define("type "+f.datatype, comp)
	if sub == 0 {
		return c.length
	}
	return v.define("type "+c.datatype, sub).length
}

// renamed are data types that a later version calls otherwise.
var renamed = [][2]string{{"CE", "CWE"}, {"TS", "DTM"}}

// Datatype gives what the version calls a data type of OBX-2: CE or CWE, TS or DTM.
func (v Version) Datatype(name string) string {
	for _, pair := range renamed {
		if name != pair[0] && name != pair[1] {
			continue
		}
		if v.has("type " + pair[0]) {
			return pair[0]
		}
		return pair[1]
	}
	return name
}

// Longer finds what is longer than the version allows, but for the places of other limits and for the header, which is
// the gateway's: an error each.
func (v Version) Longer(m *Message, but []Limit) issue.List {
	j := judge{m: m, p: &Profile{Length: Reject, Lengths: but}}
	for i := 1; i < m.Segments(); i++ {
		s := m.segment(i)
		for n, f := range s.All() {
			at := s.Path(n)
			for rep, r := range f.EachRepetition() {
				if rep > 1 {
					at = at.Repeat(rep)
				}
				j.against(v, s.Name(), at, r)
			}
		}
	}
	return j.list()
}

// against holds one repetition of a field, and its components, against the version.
func (j *judge) against(v Version, segment string, at Path, r Value) {
	most := v.Length(segment, at.Field(), 0, 0)
	if most > 0 && !j.lengthGiven(at) && len(r.Raw()) > most && r.characters() > most {
		j.tooLong(at, most)
		return
	}
	for c, part := range r.EachComponent() {
		p := at.Part(c, 0)
		if most := v.Length(segment, at.Field(), c, 0); most > 0 && !j.lengthGiven(p) && len(part.Raw()) > most && part.characters() > most {
			j.tooLong(p, most)
		}
	}
}

// Longer finds what is longer than a site's own limits: an error each.
func (m *Message) Longer(limits []Limit) issue.List {
	j := judge{m: m, p: &Profile{Length: Reject, Lengths: limits}}
	j.lengths()
	return j.list()
}
