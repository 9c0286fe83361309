package fhir

import "testing"

// Every element of every type has a place in the set that the validator keeps of those it has present.
func TestEveryElementHasItsPlaceAmongThePresent(t *testing.T) {
	for _, name := range R4().ResourceNames() {
		if _, ok := R4().Resource(name); !ok {
			t.Fatalf("no type %s", name)
		}
	}
	for _, typ := range R4().byMessage {
		for _, d := range typ.Elements {
			if d.bit() == 0 {
				t.Errorf("%s.%s is element %d: the set holds 64", typ.Name, d.Name, d.order)
			}
		}
	}
}
