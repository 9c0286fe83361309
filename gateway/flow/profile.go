package flow

import (
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// declare writes into every resource of a Bundle that meets it the UK Core profile of its type, and takes the claim
// out of those that do not. It gives what keeps them from it.
func declare(b *fhir.Bundle) (found issue.List) {
	for r := range b.Resources() {
		if p := r.Type().Profile(); p != nil && !r.Declare() {
			found = append(found, p.Faults(r)...)
		}
	}
	return found
}
