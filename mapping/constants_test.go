package mapping

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/maps"
)

// TestConstantsOfTheShippedMapsAreSound: what a shipped map fixes (constants beside a value, urls of
// extensions, what tables give) is as its element wants it, so that Validate may pass it by.
func TestConstantsOfTheShippedMapsAreSound(t *testing.T) {
	f := &faults{}
	sources, _, names, _ := readLayers([]fs.FS{maps.FS}, f)
	c := &compiler{faults: f, schema: fhir.R4(), names: names, tables: buildTables(sources, f), sources: merge(sources, f),
		programs: map[string]*program{}, reversed: map[string]*reverse{}, used: map[string]bool{}, shapes: map[*program]*shape{}}
	c.exprs = newExprs(f, c.tables)
	c.all(&Set{events: map[string]*message{}, codes: map[string]bool{}, outputs: map[string]*outMessage{}})
	if len(f.list) > 0 {
		t.Fatal(f.list)
	}
	looked := 0
	sound := func(r *rule, k *fhir.Constant) {
		t.Helper()
		looked++
		if !k.Sound() {
			t.Errorf("%s: the constant of %s would not pass Validate", r.pos, k.Def().Name)
		}
	}
	for _, p := range c.programs {
		for i := range p.rules {
			r := &p.rules[i]
			for _, st := range r.to.way {
				if st.url != nil {
					sound(r, st.url)
				}
			}
			for _, k := range r.set {
				sound(r, k.text)
			}
			if name, ok := strings.CutPrefix(p.src.rules[i].how.s, "table("); ok {
				codes, other := c.tables[strings.TrimSuffix(name, ")")].constants(codeOf(r.to.def))
				for _, k := range codes {
					sound(r, k)
				}
				if other != nil {
					sound(r, other)
				}
			}
		}
	}
	if looked < 200 {
		t.Errorf("only %d constants", looked)
	}
}
