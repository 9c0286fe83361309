package ers

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// uploadAll uploads parts in order. ubrn is that of the request they will be attached to, empty for an A&G
// request that is still to be created.
func (a *attempt) uploadAll(ubrn string, ps []part) ([]file, error) {
	var out []file
	for _, p := range ps {
		url, err := a.upload(ubrn, p.name, p.ref.Type, func() ([]byte, error) { return slurp(a.ctx, a.OpenPart, p.ref) })
		if err != nil {
			return nil, err
		}
		out = append(out, file{URL: url, Description: p.description, Indexed: a.indexed()})
	}
	return out, nil
}

// upload brings one file to e-RS (A020) and gives its URL there, "Binary/<uuid>". Its content is read
// before anything is written down: at most 5 MiB.
func (a *attempt) upload(ubrn, name, mediaType string, content func() ([]byte, error)) (string, error) {
	step := "A020:" + name
	if state, data := a.state(step); state == done {
		return data["location"], nil
	}
	body, err := content()
	if s := new(stop); errors.As(err, &s) {
		return "", err
	}
	if err != nil {
		return "", ourTrouble("an attachment cannot be read from the store", err)
	}
	k := call{name: "A020", method: http.MethodPost, path: "/STU3/Binary", body: body, create: true,
		header: map[string]string{"Content-Type": mediaType, "NHSD-eRS-File-Name": name}}
	if ubrn != "" {
		k.header["NHSD-eRS-Referral-ID"] = ubrn
	}
	data, err := a.create(step, func() (map[string]string, error) {
		r, err := a.do(a.ctx, k)
		if err != nil {
			return nil, err
		}
		location := r.header.Get("Location")
		if !strings.HasPrefix(location, "Binary/") {
			return nil, stopped(flow.Unknown, issue.New(issue.Structure, "A020", "uploaded, but the answer does not say where"))
		}
		return map[string]string{"location": location}, nil
	})
	return data["location"], err
}

// sift parts those that e-RS takes from the others, and gives the first trouble.
func sift(ps []part) (take []part, bad *issue.Issue) {
	for i, p := range ps {
		trouble := p.trouble(i+1, len(ps))
		if trouble == nil {
			take = append(take, p)
		} else if bad == nil {
			bad = trouble
		}
	}
	return take, bad
}

// unattached leaves out the parts that are attached: their name is theirs alone within a case.
func (a *attempt) unattached(ubrn string, ps []part) ([]part, error) {
	attached, err := a.attached(ubrn)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(ps, func(p part) bool {
		return slices.ContainsFunc(attached.files, func(d documentReference) bool {
			return d.Content[0].Attachment.Title == p.name && d.Content[0].Attachment.Size == p.ref.Size
		})
	}), nil
}

// set is what the referrer has attached, at a version.
type set struct {
	files   []documentReference
	version string
}

func (a *attempt) attached(ubrn string) (set, error) {
	r, err := a.referral(a.ctx, ubrn)
	if err != nil {
		return set{}, err
	}
	files, err := r.letters()
	if err != nil {
		return set{}, stopped(flow.Retry, issue.New(issue.Structure, "A005", "the attachments that are there cannot be read").Because(err))
	}
	return set{files, r.Meta.VersionID}, nil
}

// attach adds files to the referrer's attachments. A012 replaces the whole set, so what is there is read
// first and listed again; the version that was read guards against a change in between.
func (a *attempt) attach(step, ubrn string, files []file) error {
	if state, _ := a.state(step); state == done {
		return nil
	}
	for range staleTries {
		have, err := a.attached(ubrn)
		if err != nil {
			return err
		}
		all, complete := merge(have.files, files)
		if !complete {
			err = a.replaceSet(ubrn, have.version, all)
		}
		if err == nil {
			return a.keep(step, done, map[string]string{FactVersion: have.version})
		}
		if !errors.Is(err, errStale) {
			return err
		}
	}
	return locked("A012")
}

// replaceSet makes the given files the whole set of a referral (A012), based on the version that was read.
func (a *attempt) replaceSet(ubrn, version string, all []file) error {
	r, err := a.post("A012", "/STU3/ReferralRequest/"+ubrn+"/$ers.maintainReferralLetter", letterBody(all), version)
	if slices.Contains(codesOf(r.body), "NO_CHANGES_DETECTED") {
		return nil // an earlier attempt got through although its answer did not
	}
	if err != nil {
		return err
	}
	var changed ersRequest
	if json.Unmarshal(r.body, &changed) != nil || changed.ID != ubrn {
		return foreign("A012")
	}
	return nil
}

// merge lists what is attached, then what is not yet; complete tells that nothing is new.
func merge(attached []documentReference, files []file) (all []file, complete bool) {
	for _, d := range attached {
		all = append(all, file{URL: d.Content[0].Attachment.URL, Description: d.Description, Indexed: d.Indexed})
	}
	before := len(all)
	for _, f := range files {
		if !slices.ContainsFunc(all, func(have file) bool { return have.URL == f.URL }) {
			all = append(all, f)
		}
	}
	return all, len(all) == before
}
