package flow

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// loadRequest gives the canonical Bundle of the request: made again from its raw bytes, which is all that
// is kept of it.
func (d *decision) loadRequest(ctx context.Context) (*fhir.Bundle, error) {
	if d.request != nil {
		return d.request, nil
	}
	id, err := ParseID(d.c.Request.Message)
	if err != nil {
		return nil, err
	}
	t, err := d.p.reload(ctx, d.set, id)
	if err != nil {
		return nil, err
	}
	d.request, d.received = t.Bundle, t.HL7
	return t.Bundle, d.addTo(ctx, t.Bundle)
}

// reload reads a kept message and translates it again, by the one set of maps that what it is for is made with.
func (p *Pipeline) reload(ctx context.Context, set *mapping.Set, id ID) (Translated, error) {
	m, err := p.Store.Message(ctx, id)
	if err != nil {
		return Translated{}, fmt.Errorf("message %s: %w", id, err)
	}
	raw, err := p.readAll(ctx, m.Raw)
	if err != nil {
		return Translated{}, fmt.Errorf("message %s: %w", id, err)
	}
	t := p.translate(ctx, set, Received{Source: m.Source, Subject: m.Subject, At: m.At, Format: m.Format, Raw: raw,
		RequestID: m.RequestID, Lifted: m.Lifted, Whole: m.Whole}, p.Sources[m.Source])
	if t.unread != nil {
		return t, fmt.Errorf("message %s: %w", id, t.unread)
	}
	if t.Bundle == nil && t.Format != Notify && t.Format != MESH && t.Facts.Ack == nil {
		return t, issue.New(issue.Internal, "", "a kept message does not translate any more").Because(t.Issues)
	}
	return t, nil
}

// sendRequest renders the request for a destination, with the photos that may travel.
func (d *decision) sendRequest(ctx context.Context, e Endpoint) error {
	what := "referral"
	if d.c.Kind == pathway.Advice {
		what = "advice-request"
	}
	return d.sendTold(ctx, e, telling{what: what})
}

// sendTold renders a message about the case for a destination.
func (d *decision) sendTold(ctx context.Context, e Endpoint, n telling) error {
	if err := d.introduce(ctx, e, n); err != nil {
		return err
	}
	m, later, err := d.rendered(ctx, e, n)
	if i := issue.From(err); i != nil && i.Kind == issue.TooLong && n.what != "referral" && n.what != "advice-request" {
		// News about a case that is under way is not lost for a length: somebody brings it over.
		d.task("too-large", n.what+" for "+e.Name+": "+i.Error())
		return nil
	}
	if i := issue.From(err); i != nil && i.Kind == issue.Required && e.Kind == ToMESH {
		d.cannot(e, n, i)
		return nil
	}
	if later || err != nil {
		return err
	}
	d.refs = append(d.refs, Ref{"control-id", m.key})
	d.tell("queued", n.what+" for "+e.Name, "")
	if m.unsent != "" {
		d.tell("not-sent", n.what+" for "+e.Name+": "+m.unsent, "")
	}
	if err := d.deliver(ctx, e, m); err != nil {
		return err
	}
	if e.Kind == ToMESH {
		d.homeward(e, m, n)
	}
	return d.lettered(ctx, e, m, n)
}

// rendered renders a message whose photos fit its destination; later says that they first have to be made to.
func (d *decision) rendered(ctx context.Context, e Endpoint, n telling) (m outgoing, later bool, err error) {
	for {
		d.asked = nil
		if m, err = d.render(ctx, e, n); err != nil || !d.unfitted(e) {
			if err == nil {
				m.unfit = d.unfit(e, n)
				d.leave(e, n)
			}
			if err == nil && e.MessageBytes > 0 && m.size > e.MessageBytes {
				err = issue.New(issue.TooLong, "", fmt.Sprintf("larger than the %d bytes that a message to %s may have", e.MessageBytes, e.Name))
			}
			return m, false, err
		}
		switch {
		case d.fitter != nil:
			err = d.fitAll(ctx, e, d.asked)
		case d.kept:
			err = &errUnfitted{e.Name, d.asked}
		default:
			return m, true, d.fitLater(e, n)
		}
		if err != nil {
			return m, false, err
		}
	}
}

func (d *decision) render(ctx context.Context, e Endpoint, n telling) (outgoing, error) {
	request, err := d.loadRequest(ctx)
	if err != nil {
		return outgoing{}, err
	}
	of := []string{"outbound", e.Name, n.what, fmt.Sprint(d.c.Moves)}
	if d.question != nil || d.restates {
		of[3] = d.why.String()
	}
	if n.photo != nil {
		of = append(of, n.photo.Media)
	}
	if d.again != "" {
		of = append(of, d.again)
	}
	id := d.derive(of...)
	m := outgoing{what: n.what, key: id.String(), mediaType: "application/fhir+json", maps: d.set.Digest()}
	d.carried = append(d.sendable(e, n), d.brought(e, n)...)
	parts := leaving{answer: n.answer, key: m.key, travel: d.travelling(e, n)}
	if d.wantsLetter(e, n) {
		parts.first = func(b *fhir.Bundle) error { return d.encloseReferral(e, b) }
	}
	b, err := d.compose(request, parts)
	if err != nil {
		return outgoing{}, err
	}
	switch e.Kind {
	case ToMLLP:
		m.key = controlID(id)
		m.mediaType, m.form = "application/hl7-v2", d.form(e, n.what)
		err = d.hl7(ctx, e, &m, b)
	case ToFHIR:
		if err = d.embed(ctx, b); err == nil && e.Transaction {
			err = d.transact(b)
		}
		if err == nil {
			m.body = func(w io.Writer) error { return fhir.WriteJSON(w, b.Root) }
		}
	case ToMESH:
		err = d.document(ctx, e, &m, b)
	case ToERS:
		for _, ph := range d.travelling(e, n) {
			d.asked = append(d.asked, ph.Media)
			m.parts = append(m.parts, partOf(ph))
		}
		m.body = func(w io.Writer) error { return fhir.WriteJSON(w, b.Root) }
	default:
		err = fmt.Errorf("render: destination %s takes no clinical messages", e.Name)
	}
	return m, err
}

// controlID makes an MSH-10 of 20 characters, the longest that every version takes (HL7 v2.3 to 2.4 §2.16.9.10).
func controlID(id ID) string {
	text := id.String()
	return "DG" + text[0:8] + text[9:13] + text[14:18] + text[19:21]
}

func (d *decision) hl7(ctx context.Context, e Endpoint, m *outgoing, b *fhir.Bundle) error {
	received := d.received
	if d.question != nil {
		received = d.question.HL7
		if err := d.caseTask(b); err != nil {
			return err
		}
	}
	out, issues, err := d.set.ToHL7(b, mapping.Out{
		Message: m.form, Answers: d.answers(m.what).ControlID, Replaces: d.replaces(e, m.what), Version: e.Version, Strict: e.Strict, Limits: e.Limits, Lengths: e.Lengths, ControlID: m.key, Application: e.Application, At: d.at,
		Sender: mapping.Party{App: "DERMGATE", Facility: d.p.Site.ODS}, Receiver: mapping.Party{App: e.App, Facility: e.Facility},
		Charset: e.Charset, Zone: d.p.Site.Zone, Received: received,
		Files: func(sha string) (fhir.Data, error) { return d.file(ctx, sha) },
	})
	if err == nil && issues.Worst() != nil {
		err = issues.Worst()
	}
	if err != nil {
		return err
	}
	m.body = func(w io.Writer) error { _, err := out.WriteTo(w); return err }
	m.size, m.unsent = out.Size(), places(issues)
	return nil
}

// places names where something stays behind, and nothing of what.
func places(l issue.List) string {
	text := make([]string, len(l))
	for i, trouble := range l {
		text[i] = trouble.Error()
	}
	return strings.Join(text, "; ")
}

// file gives a photo that may travel, by the hash of its derivative, or a file of the answer.
func (d *decision) file(ctx context.Context, sha string) (fhir.Data, error) {
	for _, ph := range d.carried {
		if ph.SHA256 == sha {
			d.asked = append(d.asked, ph.Media)
			return d.p.content(ctx, ph), nil
		}
	}
	if data, ok := d.files[sha]; ok {
		return data, nil
	}
	return fhir.Data{}, issue.New(issue.NotFound, "Media.content", "a photo that may not travel")
}

// leaving is what a Bundle that leaves is made of beside its request.
type leaving struct {
	answer *fhir.Bundle // nil: none
	key    string
	travel []pathway.Photo
	first  func(*fhir.Bundle) error // adds what goes before what an answer brings; nil: nothing
}

// compose makes the Bundle that leaves: the request's resources with the photos that travel, each as its
// derivative, and what an answer added.
func (d *decision) compose(request *fhir.Bundle, parts leaving) (*fhir.Bundle, error) {
	b, err := fhir.NewBundle(fhir.NewTree(), "message")
	if err != nil {
		return nil, err
	}
	w := writer{}
	id := w.add(b.Root, "identifier")
	w.set(id, "system", "urn:dermgate:outbound")
	w.set(id, "value", parts.key)
	w.set(b.Root, "timestamp", request.Root.Child("timestamp").Text())
	if w.err != nil {
		return nil, w.err
	}
	gone := map[string]bool{}
	for _, ph := range d.c.Photos {
		gone[ph.Media] = ph.Waiting != "" || !ph.Document && !slices.ContainsFunc(parts.travel, func(t pathway.Photo) bool { return t.Media == ph.Media })
	}
	if err := copyEntries(b, request, func(url string, _ fhir.Element) bool { return !gone[url] }); err != nil {
		return nil, err
	}
	d.withoutAddress(b)
	if parts.first != nil {
		if err := parts.first(b); err != nil {
			return nil, err
		}
	}
	if parts.answer != nil {
		if err := d.addAnswer(b, parts.answer, parts.travel); err != nil {
			return nil, err
		}
	}
	for _, ph := range d.c.Sendable() {
		if gone[ph.Media] {
			continue
		}
		for _, t := range parts.travel {
			if t.Media == ph.Media {
				ph = t
			}
		}
		if err := d.derivative(b, ph); err != nil {
			return nil, err
		}
	}
	dropReferences(b, gone)
	withoutOriginals(b)
	if err := d.stamp(b); err != nil {
		return nil, err
	}
	b.Root.Declare()
	declare(b)
	return b, nil
}

// stamp writes what the case knows into the request that travels: the UBRN and our own case id, so that
// whoever answers can name them.
func (d *decision) stamp(b *fhir.Bundle) error {
	r := b.First("ServiceRequest")
	w := writer{}
	for _, known := range [][2]string{{fhir.SystemUBRN, d.c.Channel["ubrn"]}, {fhir.SystemERSRequest, d.c.Channel["ers-request-id"]}, {SystemCase, d.c.ID}} {
		if known[1] != "" && identifier(r, known[0]) == "" {
			id := w.add(r, "identifier")
			w.set(id, "system", known[0])
			w.set(id, "value", known[1])
		}
	}
	return w.err
}

// SystemCase is the identifier system of our case ids.
const SystemCase = "urn:dermgate:case"

// copyEntries copies the entries of a Bundle that keep allows.
func copyEntries(dst, src *fhir.Bundle, keep func(url string, r fhir.Element) bool) error {
	for entry := range src.Root.Children("entry") {
		r := entry.Child("resource")
		if !r.OK() || !keep(entry.Child("fullUrl").Text(), r) {
			continue
		}
		copied, err := fhir.Copy(dst.Root, "entry", entry)
		if err != nil {
			return err
		}
		for _, name := range []string{"search", "request", "response"} { // of the Bundle that it came in
			if c := copied.Child(name); c.OK() {
				c.Remove()
			}
		}
	}
	return nil
}

// dropReferences removes the references to resources that stay behind.
func dropReferences(b *fhir.Bundle, gone map[string]bool) {
	if len(gone) == 0 {
		return
	}
	for r := range b.Resources() {
		var stale []fhir.Element
		for _, name := range []string{"supportingInfo", "target", "insurance", "data"} {
			for ref := range r.Children(name) {
				if gone[ref.Child("reference").Text()] {
					stale = append(stale, ref)
				}
			}
		}
		for _, ref := range stale {
			ref.Remove()
		}
	}
}

// embed puts the photos beside their Media as Binary entries, for a destination that takes all in one
// message; the writer streams them.
func (d *decision) embed(ctx context.Context, b *fhir.Bundle) error {
	for _, ph := range d.carried {
		m := b.Resolve(ph.Media)
		if !m.OK() {
			continue
		}
		url := "urn:uuid:" + d.derive("binary", ph.SHA256, ph.Media).String()
		bin, err := b.Add(url, "Binary")
		if err != nil {
			return err
		}
		att := attachment(m, ph)
		w := writer{}
		w.set(bin, "contentType", ph.Type)
		w.set(att, "url", url)
		if w.err != nil {
			return w.err
		}
		d.asked = append(d.asked, ph.Media)
		if err := bin.SetData("data", d.p.content(ctx, ph)); err != nil {
			return err
		}
	}
	return nil
}

// name gives the name of the organisation behind a role of the request, "" when it has none.
func name(b *fhir.Bundle, role string) string {
	e := b.Resolve(b.First("ServiceRequest").At(role + ".reference").Text())
	for hops := 0; e.OK() && hops < 3; hops++ {
		switch e.Type().Name {
		case "Organization", "HealthcareService":
			return e.Child("name").Text()
		case "PractitionerRole":
			e = b.Resolve(e.At("organization.reference").Text())
		default:
			return ""
		}
	}
	return ""
}

// phone gives the telephone of whoever is behind a role of the request, or of their organisation; "" when there is none.
func phone(b *fhir.Bundle, role string) string {
	e := b.Resolve(b.First("ServiceRequest").At(role + ".reference").Text())
	for hops := 0; e.OK() && hops < 3; hops++ {
		for t := range e.Children("telecom") {
			if t.Child("system").Text() == "phone" && t.Child("use").Text() != "old" && t.Child("value").Text() != "" {
				return t.Child("value").Text()
			}
		}
		if e.Type().Name != "PractitionerRole" {
			return ""
		}
		e = b.Resolve(e.At("organization.reference").Text())
	}
	return ""
}
