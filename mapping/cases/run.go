package cases

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// setName stands in a case for the digest of the map set, which changes with every edit.
const setName = "(map set)"

// Run gives what comes of the case's input by the maps of a set and the rules of its source. Trouble of the
// message is one of the issues.
func (c *Case) Run(set *mapping.Set, o mapping.Options) (Came, error) {
	o.Sender = "" // a case names its own
	if name := c.part("sender"); name != nil {
		o.Sender = string(bytes.TrimSpace(name))
		if !slices.Contains(set.Senders(), o.Sender) {
			return Came{}, fmt.Errorf("sender: the maps have no overlay senders/%s.yaml", o.Sender)
		}
	}
	r := run{set: set, o: o, got: map[string][]byte{}}
	var err error
	if in := c.part("in.hl7"); in != nil {
		err = r.translate(c.full(in))
	} else {
		r.read(c.full(c.part("in.json")))
	}
	if err != nil {
		return Came{}, err
	}
	for _, f := range c.archive.Files {
		if form := wantedHL7.FindStringSubmatch(f.Name); form != nil {
			r.got[f.Name] = c.brief(r.write(form[1], form[2]))
		}
	}
	var lines bytes.Buffer
	for _, i := range r.issues {
		fmt.Fprintf(&lines, "%s: %s\n", i.Severity, i)
	}
	r.got["want.issues"] = lines.Bytes()
	return Came{c, r.got}, nil
}

// run is one input on its way.
type run struct {
	set      *mapping.Set
	o        mapping.Options
	bundle   *fhir.Bundle // nil when there is none
	received *hl7.Message // what it was made of; nil for in.json
	files    []mapping.File
	issues   issue.List
	got      map[string][]byte
}

func (r *run) refused(err error) { r.issues = append(r.issues, issue.From(err)) }

// translate makes the Bundle of a message.
func (r *run) translate(in []byte) error {
	r.got["want.json"], r.got["want.unmapped"] = nil, nil
	m, err := hl7.ParseIn(in, r.o.Charset)
	if err != nil {
		r.refused(err)
		return nil
	}
	r.received = m
	res, err := r.set.ToFHIR(m, r.o)
	if err != nil {
		r.refused(err)
		return nil
	}
	r.bundle, r.files = res.Bundle, res.Files
	r.issues = append(append(r.issues, res.Issues...), fhir.Validate(res.Bundle.Root)...)
	var out, unmapped bytes.Buffer
	if err := fhir.WriteIndented(&out, res.Bundle.Root); err != nil {
		return err
	}
	for _, p := range res.Unmapped {
		fmt.Fprintln(&unmapped, p)
	}
	r.got["want.json"] = append(bytes.TrimSpace(bytes.ReplaceAll(out.Bytes(), []byte(r.set.Digest()), []byte(setName))), '\n')
	r.got["want.unmapped"] = unmapped.Bytes()
	return nil
}

// read reads a Bundle.
func (r *run) read(in []byte) {
	root, issues := fhir.Read(in, fhir.ReadOptions{})
	r.issues = append(r.issues, issues...)
	switch {
	case issues.Worst() != nil:
	case root.Type().Name != "Bundle":
		r.refused(issue.New(issue.UnsupportedType, root.Type().Name, "in.json must hold a Bundle"))
	default:
		r.bundle = &fhir.Bundle{Root: root}
	}
}

// write makes a message of the Bundle, a segment a line: the gateway's own, at noon of a day of winter.
func (r *run) write(form, version string) []byte {
	if r.bundle == nil {
		return nil
	}
	o := mapping.Out{
		Message: form, Version: version, ControlID: "DG00000001", At: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Zone: r.o.Zone,
		Sender: mapping.Party{App: "DERMGATE", Facility: "RXX01"}, Receiver: mapping.Party{App: "EMIS", Facility: "Y06601"},
		Files: r.file, Received: r.received, Ran: r.o.Ran,
	}
	if r.received != nil {
		o.Answers = string(r.received.ControlID())
	}
	switch form[:7] { // what the gateway knows of a case that goes on
	case "RRI_I13", "RRI_I14":
		o.Answers = "CHANGE0001"
	case "MDM_T10":
		o.Replaces = "DG00000000"
	}
	out, issues, err := r.set.ToHL7(r.bundle, o)
	r.issues = append(r.issues, issues...)
	var b []byte
	if err == nil {
		b, err = out.Bytes()
	}
	if err != nil {
		if issues.Worst() == nil { // else it is among them
			r.refused(err)
		}
		return nil
	}
	return bytes.ReplaceAll(b, []byte("\r"), []byte("\n"))
}

// file gives one that travelled in the message.
func (r *run) file(sha256 string) (fhir.Data, error) {
	for _, f := range r.files {
		if f.SHA256 == sha256 {
			return fhir.Data{Size: f.Content.Size(), Open: func() (io.ReadCloser, error) {
				return io.NopCloser(io.NewSectionReader(f.Content, 0, f.Content.Size())), nil
			}}, nil
		}
	}
	return fhir.Data{}, issue.New(issue.NotFound, "", "a file that did not travel in the message")
}
