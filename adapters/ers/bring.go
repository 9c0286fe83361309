package ers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// readRequest reads the request; of advice the conversation with it.
func (k *Taker) readRequest(f *fetch, what toTake) (taken, error) {
	t := taken{kind: what.Kind, service: what.Service, serviceName: what.Name, organisation: k.Organisation}
	name, path := "A005", "/STU3/ReferralRequest/"
	if what.Kind == kindAdvice {
		name, path = "A024", "/STU3/CommunicationRequest/"
	}
	if err := k.read(f.ctx, name, path+what.UBRN, &t.request); err != nil {
		return t, err
	}
	r := t.request
	if r.ID != what.UBRN || r.Meta.VersionID == "" || r.state() == "" || r.priority() == "" {
		return t, foreign(name)
	}
	if what.Kind == kindAdvice {
		var err error
		t.talk, err = k.conversation(f.ctx, r.ID, r.Meta.VersionID)
		if err != nil {
			return t, err
		}
		if _, _, err = t.talk.sort(); err != nil {
			return t, garbled("A025", err)
		}
	}
	k.described(f.ctx, &t)
	return t, nil
}

// described adds what reference data says: the specialty's name, and by when the request is to be reviewed.
func (k *Taker) described(ctx context.Context, t *taken) {
	t.specialty = t.request.specialty()
	if t.specialty.Display == "" && t.specialty.Code != "" && k.Reference != nil {
		codes, _ := k.Reference.system(ctx, specialties) // a name is a convenience
		t.specialty.Display = codes[t.specialty.Code].display
	}
	var a appointment
	if t.kind == kindReferral && k.Reference != nil && t.request.contained("Appointment", &a) {
		sent, _ := time.Parse(time.RFC3339, a.Created)
		t.due = k.Reference.reviewBy(ctx, t.request.priority(), t.request.state(), sent, k.Calendar)
	}
}

// specialty gives the code that the service was searched by, or that of the appointment.
func (r ersRequest) specialty() coding {
	if x := r.extension("Extension-eRS-Specialty-1").Coding; x != nil {
		return *x
	}
	if r.Specialty != nil && len(r.Specialty.Coding) > 0 {
		return r.Specialty.Coding[0]
	}
	for _, raw := range r.Contained {
		var p parameters
		if json.Unmarshal(raw, &p) != nil || p.ResourceType != "Parameters" {
			continue
		}
		for _, x := range p.Parameter {
			if x.Name == "specialty" && x.Coding != nil {
				return *x.Coding
			}
		}
	}
	return coding{}
}

// conversation reads what was written about an advice request (A025), its files included.
func (c *Client) conversation(ctx context.Context, ubrn, version string) (conversation, error) {
	q := url.Values{"based-on": {"CommunicationRequest/" + ubrn + "/_history/" + version},
		"_include": {"Communication:content-reference:DocumentReference"}}
	var set conversation
	err := c.read(ctx, "A025", "/STU3/Communication?"+q.Encode(), &set)
	if s := new(stop); errors.As(err, &s) && s.Cause.Kind == issue.NotFound {
		// Only the latest version can be read: it has changed since A024.
		err = stopped(flow.Retry, issue.New(issue.Conflict, "A025", "the request changed while it was read"))
	}
	return set, err
}

// shown gives the attachments that a request and its conversation show.
func (t taken) shown() ([]listed, error) {
	all, err := attachmentsOf(t.request.Contained)
	if err != nil {
		return nil, err
	}
	var resources []json.RawMessage
	for _, e := range t.talk.Entry {
		resources = append(resources, e.Resource)
	}
	more, err := attachmentsOf(resources)
	if err != nil {
		return nil, err
	}
	for _, m := range more {
		if !slices.ContainsFunc(all, func(have listed) bool { return have.ID == m.ID }) {
			all = append(all, m)
		}
	}
	return all, nil
}

// bring brings all files of a request: the PDF first, then its attachments, then those of further referrals of the same
// pathway ("it is important that all clinical information is obtained from across all the related UBRNs").
func (k *Taker) bring(f *fetch, t taken) ([]brought, error) {
	first, err := f.summary(t.kind, t.request.ID, t.request.Meta.VersionID)
	if err != nil {
		return nil, err
	}
	out := []brought{first}
	if out, err = f.all(out, t, nil); err != nil {
		return nil, err
	}
	for i, ubrn := range t.request.related() {
		if i == mostRelated {
			return append(out, brought{id: "related", why: fmt.Sprintf("only %d of %d related referrals were read", mostRelated, len(t.request.related()))}), nil
		}
		if out, err = k.bringRelated(f, out, ubrn, i+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// all brings the attachments that are not known yet.
func (f *fetch) all(out []brought, t taken, but []string) ([]brought, error) {
	shown, err := t.shown()
	if err != nil {
		return nil, garbled("A005", err)
	}
	for i, a := range shown {
		if slices.Contains(but, a.ID) || slices.ContainsFunc(out, func(b brought) bool { return b.id == a.ID }) {
			continue
		}
		b, err := f.file(a, i+1, len(shown))
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// bringRelated brings what another referral of the pathway holds, as far as e-RS lets this provider see it.
func (k *Taker) bringRelated(f *fetch, out []brought, ubrn string, n int) ([]brought, error) {
	r, err := k.referral(f.ctx, ubrn)
	if s := new(stop); errors.As(err, &s) && s.Result == flow.Refused {
		return append(out, brought{id: "related:" + ubrn, why: fmt.Sprintf("related referral %d is not shown to this provider: %s", n, s.Cause.Text)}), nil
	}
	if err != nil {
		return nil, err
	}
	b, err := f.summary(kindReferral, ubrn, r.Meta.VersionID)
	if err != nil {
		return nil, err
	}
	b.description += ", of an earlier referral of the pathway"
	return f.all(append(out, b), taken{kind: kindReferral, request: r}, nil)
}

// came gives the attachments that the delivery has brought.
func (f *fetch) came() (out []string) {
	for _, s := range f.steps {
		if strings.HasPrefix(s.Name, "Binary/") {
			out = append(out, s.Name)
		}
	}
	return out
}
