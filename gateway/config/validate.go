package config

import (
	"fmt"

	"github.com/dermgate/dermgate/mapping/hl7"
)

// validate reads how strictly a source's HL7 v2 is held to the standard. Tables and lengths are lists, not
// mappings, so that a misspelt word among their keys is found like any other.
func (d *decoder) validate(n node, v *Validate) {
	level := func(into *Check) func(node) { return oneOf(d, into, Off, Warn, Refuse) }
	d.object(n, keys{
		"structure": level(&v.Structure),
		"datatype":  level(&v.Datatype),
		"table":     level(&v.Table),
		"length":    level(&v.Length),
		"required":  level(&v.Required),
		"tables":    list(d, &v.Tables, d.codeTable),
		"lengths":   list(d, &v.Lengths, d.maxLength),
	})
}

func (d *decoder) codeTable(t *CodeTable) func(node) {
	return func(n node) {
		d.object(n, keys{
			"table":  value(d, &t.Table, matching(tablePattern, `the number of a table in quotes, such as "0001"`)),
			"values": list(d, &t.Values, d.text),
		})
		d.require(n, "table", "values")
	}
}

func (d *decoder) maxLength(l *MaxLength) func(node) {
	return func(n node) {
		d.object(n, keys{
			"at":         value(d, &l.At, matching(placePattern, "an HL7 path without [n], such as PID-5.1")),
			"characters": value(d, &l.Characters, within(1, 1<<20, readInt, " characters")),
		})
		d.require(n, "at", "characters")
	}
}

// validate wants the site's own values and lengths to have an effect, and each to be said once.
func (c *checker) validate(path string, v *Validate) {
	if len(v.Tables) > 0 && v.Table == Off {
		c.fault(path+".tables", "tables have no effect while table is off: want table: warn or refuse")
	}
	if len(v.Lengths) > 0 && v.Length == Off {
		c.fault(path+".lengths", "lengths have no effect while length is off: want length: warn or refuse")
	}
	said := map[string]bool{}
	for i, t := range v.Tables {
		at := fmt.Sprintf("%s.tables[%d].table", path, i)
		if said[t.Table] {
			c.fault(at, "table %s is given twice", t.Table)
		}
		if t.Table != "" && !hl7.CodedTable(t.Table) {
			c.fault(at, "no coded place of the standard names table %s", t.Table)
		}
		said[t.Table] = true
	}
	c.lengths(path, v.Lengths)
}

// lengths wants each length to be of a place that there is, and said once.
func (c *checker) lengths(path string, lengths []MaxLength) {
	said := map[string]bool{}
	for i, l := range lengths {
		at := fmt.Sprintf("%s.lengths[%d].at", path, i)
		if said[l.At] {
			c.fault(at, "%s is given twice", l.At)
		}
		if p, err := hl7.ParsePath(l.At); err == nil {
			if why := hl7.CheckPath(p); why != "" {
				c.fault(at, "%s", why)
			}
		}
		said[l.At] = true
	}
}
