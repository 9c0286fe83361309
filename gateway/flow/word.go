package flow

import (
	"context"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Word is what a person says about what the patient is owed.
type Word struct {
	Verb      string // pathway.ActTold, ActWaive or ActTell
	Person    string // verified identity
	Clinician bool   // they act as one: only then may they waive, release, or attest that a cancer was told
	Reason    string
	Notices   []string // "N4"; empty, of told: all that are owed
	Code      string   // of waive: one of pathway.WaiveReasons
	Words     string   // of tell: what the patient reads
}

// Say records a person's word about the notices of a case: that they told the patient (told), that a notice is not owed after
// all and why (waive), or that it may go, with what they write (tell). Pressed twice, it acts once.
func (p *Pipeline) Say(ctx context.Context, id ID, w Word) error {
	if err := w.check(); err != nil {
		return err
	}
	return p.releasing(ctx, id, w.Person, w.Reason, func(d *decision) (bool, error) {
		var acted bool
		var err error
		switch w.Verb {
		case pathway.ActTold:
			acted, err = d.sayTold(w)
		case pathway.ActWaive:
			acted, err = d.waive(w)
		default:
			acted, err = d.sayTell(ctx, w)
		}
		if acted && err == nil {
			d.c.Did(w.Verb)
		}
		return acted, err
	})
}

// check finds what a word lacks.
func (w Word) check() error {
	for _, n := range w.Notices {
		if len(n) != 2 || n[0] != 'N' || n[1] < '1' || n[1] > '9' {
			return issue.New(issue.Value, "notice", "a notice is one of N1 to N9")
		}
	}
	switch {
	case w.Verb != pathway.ActTold && !w.Clinician:
		return issue.New(issue.Denied, "person", "a clinician decides that")
	case w.Verb == pathway.ActWaive && pathway.WaiveReasons[w.Code] == "":
		return issue.New(issue.Code, "code", "a notice is waived for one of these reasons: "+strings.Join(pathway.WaiveCodes(), ", "))
	case w.Verb != pathway.ActTold && len(w.Notices) == 0:
		return issue.New(issue.Required, "notice", "say which notice")
	case w.Verb != pathway.ActTold && slices.Contains(w.Notices, pathway.Diagnosis):
		return issue.New(issue.UnsupportedType, "notice", "a diagnosis of cancer is told by a clinician alone: attest that it was")
	}
	return nil
}

// settledBefore tells whether all of these notices are there and discharged: the word was given before.
func (d *decision) settledBefore(notices []string) bool {
	for _, n := range notices {
		there := slices.ContainsFunc(d.c.Obligations, func(o pathway.Obligation) bool { return o.Notice == n })
		if !there || len(d.c.Owed(n)) > 0 {
			return false
		}
	}
	return len(notices) > 0
}

func (d *decision) sayTold(w Word) (bool, error) {
	if d.settledBefore(w.Notices) || len(w.Notices) == 0 && len(d.c.Owed("")) == 0 {
		return false, nil
	}
	return true, d.attest(w.Person, w.Notices, w.Clinician)
}

// waive ends what is owed by a clinician's decision.
func (d *decision) waive(w Word) (bool, error) {
	any := false
	for _, n := range w.Notices {
		owed := d.c.Owed(n)
		if len(owed) == 0 && !d.settledBefore([]string{n}) {
			return false, issue.New(issue.NotFound, "notice", "the case owes the patient no "+n)
		}
		for _, o := range owed {
			o.Reason = w.Code
			o.Discharge(pathway.NoticeWaived, "waived: "+w.Person, d.at)
			d.doneTelling(o, w.Person)
			d.tell("act", o.Event+" is waived by "+w.Person+": "+w.Code, o.Ref)
			any = true
		}
	}
	return any, nil
}

// sayTell lets a notice go, with what a clinician writes to the patient: one that waits for their release, one that a machine
// could not tell and now may, or, of N2, one that they open.
func (d *decision) sayTell(ctx context.Context, w Word) (bool, error) {
	d.reviewer, d.words = w.Person, strings.TrimSpace(w.Words)
	if slices.Contains(w.Notices, "N2") && d.words == "" {
		return false, issue.New(issue.Required, "words", "what must the patient do, and by when?")
	}
	any := false
	for _, n := range w.Notices {
		owed := d.c.Owed(n)
		if len(owed) == 0 && n == "N2" && d.c.State == pathway.InfoRequested {
			owed = []*pathway.Obligation{d.c.Owe("N2-more-needed", d.at, d.p.calendar())}
		}
		if len(owed) == 0 && !d.settledBefore([]string{n}) {
			return false, issue.New(issue.NotFound, "notice", "the case owes the patient no "+n)
		}
		for _, o := range owed {
			if o.Status == pathway.NoticeOpen && o.Ref != "" {
				return false, issue.New(issue.Conflict, "notice", o.Event+" is on its way to the patient already")
			}
			o.Status, o.By, o.Due = pathway.NoticeOpen, "", d.p.calendar().NoticeDue(o.Notice, d.at)
			d.doneTelling(o, w.Person)
			d.tell("act", o.Event+" is released by "+w.Person, "")
			if err := d.notice(ctx, o); err != nil {
				return false, err
			}
			any = true
		}
	}
	return any, nil
}
