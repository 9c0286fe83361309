package mapping

import (
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// table translates codes, both HL7 to FHIR and back: a table is written for one direction.
type table struct {
	name      string
	at        pos
	system    text
	codes     map[string]string
	lengths   uint64    // bit n: a code of n bytes, or of 63 and more
	list      []srcCode // in order, for checks
	otherwise text
	quiet     bool
	used      bool
}

// srcCode is one line of a table.
type srcCode struct{ from, to text }

// lookup finds a code as it is listed, or the same in other case.
func (t *table) lookup(code string) (string, bool) {
	if t == nil {
		return "", false
	}
	return under(t.codes, code)
}

// under finds what stands under a code, or under the same in capitals.
func under[V any](codes map[string]V, code string) (out V, ok bool) {
	if code == "" {
		return out, false
	}
	if out, ok = codes[code]; ok {
		return out, true
	}
	if upper := strings.ToUpper(code); upper != code {
		out, ok = codes[upper]
	}
	return out, ok
}

// constants gives what the table translates to as constants of an element; other is its otherwise, nil when
// it has none.
func (t *table) constants(d *fhir.ElementDef) (codes map[string]*fhir.Constant, other *fhir.Constant) {
	codes = make(map[string]*fhir.Constant, len(t.codes))
	for from, to := range t.codes {
		codes[from], _ = fhir.NewConstant(d, to) // cannot fail: d is a primitive
	}
	if t.otherwise.s != "" {
		other, _ = fhir.NewConstant(d, t.otherwise.s)
	}
	return codes, other
}

// has is lookup for bytes, without an answer.
func (t *table) has(code []byte) bool {
	if len(code) == 0 || t.lengths>>min(len(code), 63)&1 == 0 {
		return false
	}
	if _, ok := t.codes[string(code)]; ok {
		return true
	}
	var upper [64]byte // longer than any code that is worth finding in other case
	if len(code) > len(upper) {
		return false
	}
	other := false
	for i, c := range code {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
			other = true
		}
		upper[i] = c
	}
	if !other {
		return false
	}
	_, ok := t.codes[string(upper[:len(code)])]
	return ok
}

// translate is lookup with the table's otherwise for what is not listed, absence included.
func (t *table) translate(code string) (string, bool) {
	if out, ok := t.lookup(code); ok {
		return out, true
	}
	return t.otherwise.s, t.otherwise.s != ""
}

// buildTables makes the tables of all layers; a later file of the same name replaces, or extends, an
// earlier one.
func buildTables(sources []*source, f *faults) map[string]*table {
	out := map[string]*table{}
	for _, s := range sources {
		for _, src := range s.tables {
			t := &table{name: src.name.s, at: src.name.at, codes: map[string]string{}}
			switch before := out[t.name]; {
			case before != nil && src.extend:
				t = before
			case before != nil && t.at.layer > 0:
				f.note(t.at, "table %s takes the place of the one at %s, whole; extend: true adds to it", t.name, before.at.seen(t.at))
			}
			if src.system.s != "" {
				t.system = src.system
				if !uriType().Fits(t.system.s) {
					f.add(t.system.at, "%q is no uri", t.system.s)
				}
			}
			if src.otherwise.s != "" {
				t.otherwise = src.otherwise
			}
			t.quiet = t.quiet || src.quiet
			for _, c := range src.codes {
				if src.extend && t.codes[c[0].s] == c[1].s {
					f.note(c[0].at, "table %s gives %s for %s already", t.name, c[1].s, c[0].s)
				}
				t.codes[c[0].s] = c[1].s
				t.lengths |= 1 << min(len(c[0].s), 63)
				t.list = append(t.list, srcCode{c[0], c[1]})
			}
			if len(t.codes) == 0 {
				f.add(t.at, "table %s lists no code", t.name)
			}
			out[t.name] = t
		}
	}
	return out
}
