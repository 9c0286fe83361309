package flow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// A message of nothing but fields that nobody maps keeps its record and its answer small, and still says how
// many there are.
func TestManyUnmappedLeavesAreListedUpToABound(t *testing.T) {
	const n = mostUnmapped + 7
	res := &mapping.Result{Leaves: mapping.Count{Valued: n, Unmapped: n}}
	for i := range n {
		res.Unmapped = append(res.Unmapped, hl7.MustPath(fmt.Sprintf("ZZZ-%d", i+1)))
	}
	l := lossOf(res)
	if len(l.Unmapped) != mostUnmapped || l.Leaves.Unmapped != n || l.Unmapped[0] != "ZZZ-1" {
		t.Errorf("%d places, %+v", len(l.Unmapped), l.Leaves)
	}
	told := l.warnings()
	if len(told) != mostTold+1 || told.Worst() != nil || !strings.Contains(told[mostTold].Text, fmt.Sprint(n-mostTold)) {
		t.Errorf("%d warnings, the last %q", len(told), told[len(told)-1].Text)
	}
	for _, i := range told {
		if i.Kind != issue.Unmapped {
			t.Error(i.Kind)
		}
	}
}
