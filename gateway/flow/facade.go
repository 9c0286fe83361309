package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Facade answers in FHIR what has become of a request, to the organisation that asked and to the one that
// was asked; to others a case does not exist. Nothing of it is stored: it is made from the request, the
// answers and the state of the case.
type Facade struct{ P *Pipeline }

// Cross-reference systems by which the facade finds cases.
const (
	systemResource = "fhir"   // "Media/<id>"
	systemFile     = "sha256" // of a photo or document that may travel
)

// resourceRefs are the references of every resource of a Bundle that the facade may be asked for.
func resourceRefs(b *fhir.Bundle) []Ref {
	var out []Ref
	for r := range b.Resources() {
		if id := resourceID(r); id != "" && shown(r) {
			out = append(out, Ref{systemResource, r.Type().Name + "/" + id})
		}
	}
	return out
}

// shown tells a resource that can be read by its id.
func shown(r fhir.Element) bool {
	return slices.Contains([]string{"ServiceRequest", "Media", "DocumentReference", "Provenance", "Communication"}, r.Type().Name)
}

// resourceID gives the id of a resource, from its fullUrl when it has none itself.
func resourceID(r fhir.Element) string {
	if id := r.Child("id").Text(); id != "" {
		return id
	}
	return strings.TrimPrefix(fullURL(r), "urn:uuid:")
}

func errHidden() error { return issue.New(issue.NotFound, "", "no such resource") }

// Read gives one resource.
func (f *Facade) Read(ctx context.Context, s Subject, typ, id string) ([]byte, error) {
	cases, err := f.find(ctx, s, Ref{systemResource, typ + "/" + id})
	if err != nil {
		return nil, err
	}
	for _, c := range cases {
		b, err := f.view(ctx, c)
		if err != nil {
			return nil, err
		}
		for r := range b.All(typ) {
			if resourceID(r) == id {
				return fhir.AppendJSON(nil, r)
			}
		}
	}
	return nil, errHidden()
}

// find gives the cases that a reference leads to and the subject may see.
func (f *Facade) find(ctx context.Context, s Subject, ref Ref) ([]CaseRecord, error) {
	ids, err := f.P.lead(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("facade: %w", err)
	}
	var out []CaseRecord
	for _, id := range ids {
		c, err := f.P.Store.Case(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("facade: %w", err)
		}
		if concerns(c, s) {
			out = append(out, c)
		}
	}
	return out, nil
}

func concerns(c CaseRecord, s Subject) bool {
	return s.Organisation != "" && (s.Organisation == c.Index.Organisation || s.Organisation == c.Index.Performer)
}

// view makes the resources of a case as they stand now.
func (f *Facade) view(ctx context.Context, r CaseRecord) (*fhir.Bundle, error) {
	d, err := f.P.read(r)
	if err != nil {
		return nil, err
	}
	request, err := d.loadRequest(ctx)
	if err != nil {
		return nil, err
	}
	b, err := d.compose(request, leaving{key: d.c.ID, travel: shownPhotos(d.c.Sendable())})
	if err != nil {
		return nil, err
	}
	for _, answer := range d.c.Answers {
		id, err := ParseID(answer)
		if err != nil {
			return nil, err
		}
		t, err := f.P.reload(ctx, d.set, id)
		if err != nil {
			return nil, err
		}
		if err := d.addAnswer(b, withoutTasks(t.Bundle), shownPhotos(d.c.Brought(answer))); err != nil {
			return nil, err
		}
	}
	if err := d.caseTask(b); err != nil {
		return nil, err
	}
	w := writer{}
	w.set(b.First("Task"), "lastModified", r.Index.Changed.UTC().Format(time.RFC3339))
	w.set(b.First("ServiceRequest"), "status", d.c.ServiceRequest)
	return b, errors.Join(w.err, relative(b, r))
}

// withoutTasks takes the Tasks out of an answer: the case's own Task tells where it stands.
func withoutTasks(b *fhir.Bundle) *fhir.Bundle {
	for t := range b.All("Task") {
		t.Parent().Remove()
	}
	return b
}

// TaskID is the id of the Task that shows a case.
func taskID(c *pathway.Case) string {
	id, _ := ParseID(c.ID)
	return NewID(id.Partition(), "task", c.ID).String()
}

// caseTask adds the Task of the case: its state, and the outcome once there is one.
func (d *decision) caseTask(b *fhir.Bundle) error {
	t, err := b.Add("urn:uuid:"+taskID(d.c), "Task")
	if err != nil {
		return err
	}
	w := writer{}
	w.set(t, "status", taskStatus(d.c))
	w.set(t, "intent", "order")
	if d.c.Business != "" {
		system := fhir.SystemAGStatus
		if d.c.Kind == pathway.Referral {
			system = fhir.SystemReferralState
		}
		w.concept(t, "businessStatus", system, d.c.Business)
	}
	w.set(w.add(t, "focus"), "reference", fullURL(b.First("ServiceRequest")))
	w.set(w.add(t, "for"), "reference", fullURL(b.First("Patient")))
	w.set(t, "authoredOn", d.c.Opened.UTC().Format(time.RFC3339))
	for _, out := range [][2]string{{"outcome", d.c.Outcome.Code}, {"recommendation", d.c.Outcome.Recommendation}, {"priority", d.c.Outcome.Priority}, {"decision", d.c.Outcome.Decision}} {
		if out[1] != "" {
			o := w.add(t, "output")
			w.concept(o, "type", fhir.SystemOutput, out[0])
			w.set(o, "valueCode", out[1])
		}
	}
	return w.err
}

func taskStatus(c *pathway.Case) string {
	switch {
	case c.State == pathway.Held:
		return "on-hold"
	case c.TaskStatus == "":
		return "requested"
	}
	return c.TaskStatus
}

// relative turns the references between the entries into "Type/id", and notes when the case changed.
func relative(b *fhir.Bundle, r CaseRecord) error {
	w := writer{}
	names := map[string]string{}
	for e := range b.Resources() {
		names[fullURL(e)] = e.Type().Name + "/" + resourceID(e)
		meta := e.Child("meta")
		if !meta.OK() {
			meta = w.add(e, "meta")
		}
		w.set(meta, "lastUpdated", r.Index.Changed.UTC().Format(time.RFC3339))
	}
	for e := range b.Resources() {
		rename(e, names)
	}
	return w.err
}

func rename(e fhir.Element, names map[string]string) {
	for c := range e.Children("") {
		if c.Name() == "reference" {
			if to, ok := names[c.Text()]; ok {
				c.SetText(to)
			}
			continue
		}
		rename(c, names)
	}
}

// mostFound bounds a search.
const mostFound = 100

// Search gives a searchset Bundle of the resources of a type.
func (f *Facade) Search(ctx context.Context, s Subject, typ string, params url.Values) ([]byte, error) {
	cases, err := f.candidates(ctx, s, params)
	if err != nil {
		return nil, err
	}
	since, err := newer(params["_lastUpdated"])
	if err != nil {
		return nil, err
	}
	most := mostFound
	if n, err := strconv.Atoi(params.Get("_count")); err == nil && n > 0 {
		most = min(n, mostFound)
	}
	out, err := fhir.NewBundle(fhir.NewTree(), "searchset")
	if err != nil {
		return nil, err
	}
	n := 0
	for _, c := range cases {
		if !concerns(c, s) || c.Index.Changed.Before(since) {
			continue
		}
		b, err := f.view(ctx, c)
		if err != nil {
			return nil, err
		}
		for r := range b.All(typ) {
			if status := params.Get("status"); status != "" && r.Child("status").Text() != status || n == most {
				continue
			}
			n++
			entry, err := out.Root.Add("entry")
			if err != nil {
				return nil, err
			}
			if _, err := fhir.Copy(entry, "resource", r); err != nil {
				return nil, err
			}
		}
	}
	if err := out.Root.Set("total", strconv.Itoa(n)); err != nil {
		return nil, err
	}
	return fhir.AppendJSON(nil, out.Root)
}

// newer reads _lastUpdated as a lower bound: "gt2026-11-24", "ge2026-11-24T10:00:00Z".
func newer(values []string) (time.Time, error) {
	if len(values) == 0 {
		return time.Time{}, nil
	}
	for _, prefix := range []string{"gt", "ge"} {
		text, ok := strings.CutPrefix(values[0], prefix)
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, text); ok && err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, issue.New(issue.Value, "_lastUpdated", "want gt or ge and a date or instant")
}

// candidates gives the cases that the parameters can mean.
func (f *Facade) candidates(ctx context.Context, s Subject, params url.Values) ([]CaseRecord, error) {
	if id := params.Get("identifier"); id != "" {
		system, value, ok := strings.Cut(id, "|")
		if !ok {
			return nil, issue.New(issue.Value, "identifier", "want system|value")
		}
		return f.find(ctx, s, Ref{system, value})
	}
	q := CaseQuery{Limit: mostFound}
	if patient := params.Get("patient"); patient != "" {
		_, number, _ := strings.Cut(patient, "|")
		if number == "" {
			number = strings.TrimPrefix(patient, "Patient/")
		}
		q.Patient = f.P.PatientKey(number)
		return f.P.Store.Cases(ctx, q)
	}
	q.Organisation = s.Organisation
	asked, err := f.P.Store.Cases(ctx, q)
	if err != nil || s.Organisation == "" {
		return nil, err
	}
	all, err := f.P.Store.Cases(ctx, CaseQuery{Limit: mostFound}) // those it was asked in
	for _, c := range all {
		known := slices.ContainsFunc(asked, func(a CaseRecord) bool { return a.ID == c.ID })
		if !known && c.Index.Performer == s.Organisation {
			asked = append(asked, c)
		}
	}
	return asked, err
}

// Binary gives a photo or document that may travel, and to who sent it the original.
func (f *Facade) Binary(ctx context.Context, s Subject, sha string) (io.ReadCloser, string, error) {
	cases, err := f.find(ctx, s, Ref{systemFile, sha})
	if err != nil {
		return nil, "", err
	}
	for _, r := range cases {
		c := pathway.Case{}
		if err := json.Unmarshal(r.State, &c); err != nil {
			return nil, "", fmt.Errorf("facade: %w", err)
		}
		if ph, ok := file(&c, sha, s.Organisation == r.Index.Organisation, s.Organisation == r.Index.Performer); ok {
			body, err := f.P.Bodies.Open(ctx, partOf(ph))
			return body, ph.Type, err
		}
	}
	return nil, "", errHidden()
}

// shownPhotos are those of the photos of a case that may be seen, as they may be.
func shownPhotos(all []pathway.Photo) (out []pathway.Photo) {
	for _, ph := range all {
		if ph, ok := ph.Shown(); ok {
			out = append(out, ph)
		}
	}
	return out
}

// file finds what may travel of a case by its hash, in any form that a destination got it in; for who sent it also a
// photo as it came: who asked, or, of what an answer brought, who was asked.
func file(c *pathway.Case, sha string, asked, answered bool) (pathway.Photo, bool) {
	for _, ph := range c.Photos {
		if ph.Waiting != "" {
			continue
		}
		if ph.SHA256 == sha && !ph.Unclean {
			return ph, true
		}
		for i := range ph.Fits {
			if ph.Fits[i].Refused == "" && ph.Fits[i].SHA256 == sha {
				return ph.As(&ph.Fits[i]), true
			}
		}
		if own := asked && ph.From == "" || answered && ph.From != ""; own && ph.Original == sha {
			return pathway.Photo{Blob: ph.Keep, SHA256: sha, Type: ph.Came}, true
		}
	}
	return pathway.Photo{}, false
}
