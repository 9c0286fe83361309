package main

import (
	"cmp"
	"fmt"
	"os"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
)

// sourceRules turns the configuration of a source into what the flow needs to know of it.
func sourceRules(c *config.Config, s config.Source) (flow.SourceRules, error) {
	r := flow.SourceRules{
		Name: s.Name, Organisation: s.Organisation, App: s.Sender.App, Facility: s.Sender.Facility, Overlay: s.Overlay, Charset: s.Charset, Processing: s.Processing,
		BatchAnswer: s.Acknowledge.Batch == config.BatchOne,
		Checks: flow.Checks{Consent: check(s.Checks.Consent), Images: check(s.Checks.Images), NHSNumber: check(s.Checks.NHSNumber), Photo: check(s.Checks.Photo),
			Profile: check(s.Checks.Profile), Unmapped: check(s.Checks.Unmapped), Unmatched: check(s.Checks.Unmatched)},
		Limits: image.Limits{Bytes: c.Limits.PhotoBytes, Pixels: c.Limits.PhotoPixels}, Attachments: c.Limits.Attachments, Rash: s.RashCodes,
	}
	if s.Kind == config.ERSWorklist { // its organisation is who was asked
		r.Found, r.Organisation = true, ""
		if actsAs(s) != "" {
			r.Acts = actsOf(s.Name)
		}
	}
	if s.Acknowledge.Mode == config.Enhanced {
		r.Enhanced, r.ApplicationTo = true, s.Acknowledge.ApplicationTo
	}
	for _, carries := range s.Carries {
		r.Requests = r.Requests || carries == config.Requests
		r.Answers = r.Answers || carries == config.Answers
	}
	var err error
	if r.Validate, err = profile(s.Validate); err != nil {
		return r, err
	}
	if k := s.KindOfCase; k != nil {
		r.Kind = mapping.KindRule{Advice: k.Advice, Referral: k.Referral}
		if r.Kind.From, err = hl7.ParsePath(k.From); err != nil {
			return r, err
		}
	}
	if u := s.Urgency; u != nil {
		r.Urgency = mapping.UrgencyRule{TwoWeekWait: u.TwoWeekWait, Urgent: u.Urgent, Routine: u.Routine}
		if r.Urgency.From, err = hl7.ParsePath(u.From); err != nil {
			return r, err
		}
	}
	for _, p := range s.Repeat.Ignore {
		path, err := hl7.ParsePath(p)
		if err != nil {
			return r, err
		}
		r.Ignore = append(r.Ignore, path)
	}
	return r, nil
}

// profile turns a source's validation into what hl7.Validate takes.
func profile(v config.Validate) (hl7.Profile, error) {
	p := hl7.Profile{Structure: level(v.Structure), Datatype: level(v.Datatype), Table: level(v.Table), Length: level(v.Length),
		Required: level(v.Required), Tables: make(map[string][]string, len(v.Tables))}
	for _, t := range v.Tables {
		p.Tables[t.Table] = t.Values
	}
	var err error
	p.Lengths, err = limits(v.Lengths)
	return p, err
}

func limits(lengths []config.MaxLength) ([]hl7.Limit, error) {
	var out []hl7.Limit
	for _, l := range lengths {
		at, err := hl7.ParsePath(l.At)
		if err != nil {
			return nil, err
		}
		out = append(out, hl7.Limit{At: at, Characters: l.Characters})
	}
	return out, nil
}

func level(c config.Check) hl7.Level {
	switch c {
	case config.Warn:
		return hl7.Warn
	case config.Refuse:
		return hl7.Reject
	}
	return hl7.Off
}

func check(c config.Check) flow.Check {
	if c == config.Strictly {
		return flow.Require
	}
	return flow.Check(c)
}

// pollOf names the internal destination that asks a channel for news.
func pollOf(destination string) string { return destination + "~poll" }

// endpoint turns the configuration of a destination into what the flow renders for.
func endpoint(c *config.Config, d config.Destination) (flow.Endpoint, error) {
	e := flow.Endpoint{Name: d.Name, Message: d.Message, Answer: d.Answer, First: d.First, Letter: d.Letter, LetterPhotos: d.LetterPhotos, Strict: d.LaterFields == "none", Version: d.Version, App: d.Receiver.App, Facility: d.Receiver.Facility,
		Charset: d.Charset, Takes: takes(c, d), RoutingPlan: d.RoutingPlan, MessageBytes: d.MessageBytes, Lengths: d.Length == config.Refuse}
	var err error
	if e.Limits, err = limits(d.Lengths); err != nil {
		return e, err
	}
	switch d.Kind {
	case config.MLLP:
		e.Kind = flow.ToMLLP
		if d.Acknowledge == config.Enhanced {
			e.Application = "AL"
		}
	case config.FHIR:
		e.Kind, e.Transaction = flow.ToFHIR, d.Mode == "transaction"
		if d.Poll > 0 {
			e.Poll, e.PollEvery = pollOf(d.Name), d.Poll
		}
	case config.ERS:
		e.Kind, e.ForUser = flow.ToERS, byUsers(d)
		if readsERS(d) {
			e.Poll, e.PollEvery = pollOf(d.Name), d.Poll
		}
	case config.MESHOut:
		e.Kind, e.Mailbox, e.Workflow, e.Mailboxes, e.Phone, e.Within = flow.ToMESH, d.Mailbox, d.Workflow, d.Mailboxes, d.Phone, d.AnswerWithin
	case config.Notify:
		e.Kind, e.Plans = flow.ToNotify, flow.Plans(d.Plans)
		notices, err := notices(d.Templates)
		if err != nil {
			return e, err
		}
		e.Templates = notices
	default:
		return e, fmt.Errorf("destination %s: kind %s cannot be delivered to by this version", d.Name, d.Kind)
	}
	return e, nil
}

// takes gives what a destination takes of photos; what it does not say of the floor is as everywhere.
func takes(c *config.Config, d config.Destination) flow.Takes {
	t := flow.Takes{Files: d.Photos, Bytes: d.PhotoBytes, Pixels: d.PhotoPixels, SRGB: d.PhotoColours == config.ColoursSRGB, Floor: image.Floor{
		SSIM: cmp.Or(d.PhotoFloor.SSIM, c.Photos.Floor.SSIM), Side: cmp.Or(d.PhotoFloor.Side, c.Photos.Floor.Side),
		Quality: cmp.Or(d.PhotoFloor.Quality, c.Photos.Floor.Quality)}}
	for _, name := range d.PhotoTypes {
		t.Types = append(t.Types, image.TypeNamed(name))
	}
	return t
}

func notices(folder string) (*flow.Notices, error) {
	if folder == "" {
		return flow.LoadNotices(nil)
	}
	return flow.LoadNotices(os.DirFS(folder))
}

func routes(c *config.Config) []flow.Route {
	out := make([]flow.Route, len(c.Routes))
	for i, r := range c.Routes {
		out[i] = flow.Route{When: flow.When(r.When), To: r.To}
	}
	return out
}
