package ers

import (
	"errors"
	"slices"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// States of a step. A create is written down before it is made and again when it has answered, so that a
// crash between the two is seen afterwards: then nobody knows, and it is never made again by machine.
const (
	begun  = "begun"
	undone = "undone" // certainly not created
	done   = "done"
)

// journal is the durable log of one delivery's steps. The last step of a name counts.
type journal struct {
	steps []flow.Step
	save  func(flow.Step) error
	now   func() time.Time
}

// state gives how far a step has come, "" when it was never begun, and what it gave.
func (j *journal) state(name string) (string, map[string]string) {
	for i := len(j.steps) - 1; i >= 0; i-- {
		if j.steps[i].Name == name {
			return j.steps[i].Data["state"], j.steps[i].Data
		}
	}
	return "", nil
}

func (j *journal) keep(name, state string, data map[string]string) error {
	all := map[string]string{"state": state}
	for k, v := range data {
		all[k] = v
	}
	s := flow.Step{Name: name, At: j.now(), Data: all}
	if err := j.save(s); err != nil {
		return err
	}
	j.steps = append(j.steps, s)
	return nil
}

// create makes something at most once. make's error must be a *stop; only one that is not Unknown says
// that nothing was created.
func (j *journal) create(name string, make func() (map[string]string, error)) (map[string]string, error) {
	switch state, data := j.state(name); state {
	case done:
		return data, nil
	case begun:
		return nil, stopped(flow.Unknown, issue.New(issue.Unavailable, name, "an earlier attempt was cut off: it may have been created"))
	}
	if err := j.keep(name, begun, nil); err != nil {
		return nil, err
	}
	data, err := make()
	if err == nil {
		return data, j.keep(name, done, data)
	}
	if s := new(stop); errors.As(err, &s) && s.Result == flow.Unknown {
		return nil, err
	}
	return nil, errors.Join(err, j.keep(name, undone, nil))
}

// Resolved gives the step that records what a person found out about an unknown create, to be saved before
// the delivery is replayed: the UBRN that e-RS shows for it, or "" when nothing was created. Of a delivery that is held for
// a user it records that they have done all of it in their own e-RS session, under that UBRN. It reports false when the
// delivery has no unknown create and is not held, or a UBRN is given for an upload, which has none.
func Resolved(d flow.Delivery, ubrn string, at time.Time) (flow.Step, bool) {
	j := journal{steps: d.Steps}
	for _, s := range d.Steps {
		if state, _ := j.state(s.Name); state != begun || slices.Contains([]string{"A026", "A028", "A036"}, s.Name) { // those are found out by reading
			continue
		}
		if ubrn == "" {
			return flow.Step{Name: s.Name, At: at, Data: map[string]string{"state": undone}}, true
		}
		if s.Name == "A011" || s.Name == "A044" {
			return flow.Step{Name: s.Name, At: at, Data: map[string]string{"state": done, "ubrn": ubrn}}, isUBRN(ubrn)
		}
	}
	known := j.created()[FactUBRN]
	if d.Relays() {
		known = d.Note
	}
	if d.Held() && isUBRN(ubrn) && (known == "" || known == ubrn) {
		return flow.Step{Name: elsewhere, At: at, Data: map[string]string{"state": done, FactUBRN: ubrn, FactPhotos: "0"}}, true
	}
	return flow.Step{}, false
}

// isUBRN tells the twelve digits of a unique booking reference number.
func isUBRN(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return len(s) == 12
}
