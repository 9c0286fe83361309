package flow

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/dermgate/dermgate/gateway/letter"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/dermgate/dermgate/mapping/itk3"
)

// document renders a GP Connect Send Document message of a composed Bundle: the letter, what the answer brought, and the
// photos. It goes to the mailbox of who asked where that is known, else to where the patient is registered.
func (d *decision) document(ctx context.Context, e Endpoint, m *outgoing, b *fhir.Bundle) error {
	version, replaces := d.edition(e, m.what)
	out := itk3.Out{
		ID: m.key, At: d.at.In(d.p.Site.Zone), Mailbox: e.Mailbox, Workflow: e.Workflow, Title: titles[m.what], Version: version, Replaces: replaces,
		Sender: itk3.Party{ODS: d.p.Site.ODS, Name: d.p.Site.Name, Phone: e.Phone},
		Files:  func(sha string) (fhir.Data, error) { return d.file(ctx, sha) },
	}
	m.practice = itk3.Registered(b)
	if box := e.Mailboxes[d.c.Request.Organisation]; box != "" {
		m.practice, m.note = d.c.Request.Organisation, box
	}
	out.Title = cmp.Or(out.Title, "Dermatology: news of a request")
	out.Copy = d.copyOf(*m) != ""
	pdf, err := letter.Answer(b, out.Title)
	if err != nil {
		return err
	}
	out.Letter = fhir.Data{Size: int64(len(pdf)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(pdf)), nil }}
	message, err := itk3.Send(b, out)
	if err != nil {
		return err
	}
	m.mediaType = "application/fhir+xml"
	m.body = func(w io.Writer) error { _, err := message.WriteTo(w); return err }
	return nil
}

// titles of documents, by what they tell.
var titles = map[string]string{
	Answered:      "Dermatology advice",
	InfoRequested: "Dermatology: more information needed",
	Triaged:       "Dermatology triage outcome",
	ConvertedTo:   "Dermatology: request made into a referral",
	Ended:         "Dermatology: request ended",
}

// edition gives the version of a document, and the message whose document it takes the place of.
func (d *decision) edition(e Endpoint, what string) (version int, replaces string) {
	version, replaces = 1, d.replaces(e, what)
	for _, h := range d.c.Homewards {
		if replaces != "" && h.To == e.Name && h.What == what && !h.Opened.Equal(d.at) {
			version++
		}
	}
	return version, replaces
}

// cannot gives what cannot go by Send Document to somebody: it is owed as what was sent and did not arrive.
func (d *decision) cannot(e Endpoint, n telling, why *issue.Issue) {
	d.tell("not-sent", n.what+" for "+e.Name+": "+why.Error(), "")
	d.c.Homewards = append(d.c.Homewards, pathway.Homeward{Ref: d.derive("unsent", e.Name, n.what, fmt.Sprint(d.c.Moves)).String(), To: e.Name, What: n.what,
		Owed: owed(n.what) && !n.elsewhere, Status: pathway.HomeFailed, By: why.Error(), Opened: d.at, Ended: d.at})
	d.byHand(n.what + " cannot go to " + e.Name + ", bring it another way: " + why.Error())
}
