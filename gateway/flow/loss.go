package flow

import (
	"fmt"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/issue"
)

const (
	mostUnmapped = 1000 // places kept with a message: enough for a person, and a hostile message stays small
	mostTold     = 50   // of them told to its sender, one ERR or issue each; and of what keeps resources from their profile
)

// lossOf takes the account of a translation.
func lossOf(res *mapping.Result) Loss {
	leaves := res.Leaves // apart from the rest, which is large
	l := Loss{Leaves: &leaves}
	for _, p := range res.Unmapped[:min(len(res.Unmapped), mostUnmapped)] {
		l.Unmapped = append(l.Unmapped, p.String())
	}
	return l
}

// warnings tells a sender which of its fields are kept and not passed on.
func (l Loss) warnings() issue.List {
	var out issue.List
	why := "no rule maps it"
	if l.Leaves == nil {
		why = "nothing names it"
	}
	for _, where := range l.Unmapped[:min(len(l.Unmapped), mostTold)] {
		out = append(out, issue.Warn(issue.Unmapped, where, "kept with the original, not passed on: "+why))
	}
	if l.Leaves != nil && l.Leaves.Unmapped > mostTold {
		out = append(out, issue.Warn(issue.Unmapped, "", fmt.Sprintf("and %d more that no rule maps", l.Leaves.Unmapped-mostTold)))
	}
	return out
}
