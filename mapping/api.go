package mapping

import (
	"time"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Options are what is known of a source beforehand.
type Options struct {
	Source  string         // configured name of the source; part of every derived id
	Sender  string         // which of Set.Senders has its overlay in force; empty: none
	Charset string         // table 0211 name to read with when MSH-18 is absent
	Zone    *time.Location // of times without offset; nil: UTC
	Kind    KindRule
	Urgency UrgencyRule
	Limits  image.Limits // of each file
	Trace   bool         // record which leaf and rule each element comes from
	Profile bool         // tell in Result.Profile what keeps resources from meeting their UK Core profile
	Files   FilesMode
	// Enforce makes an error of what a translation can do without and its source is refused for: a declared photo that
	// is none, a segment that the standard requires (`warning` under expect). They are warnings otherwise.
	Enforce bool
	Ran     *Coverage // when not nil, notes the rules that do something
	SHA256  string    // hex, of the message as it came; empty: of its bytes. It differs where Payloads were taken out
	// Payloads are files that were taken out of the message while it was read, by the token that stands in the
	// place of each (mapping/lift).
	Payloads map[string]Payload
}

// Payload is a file that lies beside its message.
type Payload struct {
	File         image.File
	SHA256, SHA1 string // hex, of File
	Broken       bool   // its encoding was broken: File is a part of it, or none
}

// KindRule says where a source states whether a request asks for advice or refers the patient, and in which
// words. Nothing else decides it: a referral mistaken for advice stops the patient's clocks.
type KindRule struct {
	From             hl7.Path // zero: this source states it nowhere, so every request is refused
	Advice, Referral []string
}

// UrgencyRule says where a source states the e-RS urgency, and in which words. What it does not list, and
// an absent value, give no urgency code: none is ever assumed.
type UrgencyRule struct {
	From                         hl7.Path
	TwoWeekWait, Urgent, Routine []string
}

// FilesMode is where the bytes of a file go.
type FilesMode uint8

const (
	FilesByHash FilesMode = iota // the attachment names them by urn:sha-256:…; Result.Files holds them
	FilesInline                  // the attachment holds them too
)

// Result is a message translated.
type Result struct {
	Bundle   *fhir.Bundle
	Issues   issue.List // an error issue: the sender is to be refused
	Files    []File
	Unmapped []hl7.Path // valued leaves that no rule read and no rule ignores
	Leaves   Count
	Trace    *Trace // nil unless asked for
	// Profile is what keeps resources from declaring their UK Core profile, each of severity information at the
	// segment it was made of; nil unless asked for.
	Profile issue.List

	run *run // what is given back by Release
}

// Count is the loss account of a message: Valued = Mapped + Ignored + Unmapped, in leaves.
type Count struct {
	Valued   int `json:"valued"`
	Mapped   int `json:"mapped"`
	Ignored  int `json:"ignored"`
	Unmapped int `json:"unmapped"`
}

// File is a file that travelled in the message.
type File struct {
	Where   string       // "OBX[2]-5[1].5"
	SHA256  string       // hex, of Content
	Content image.File   // decoded; it may lie in a store, so reading it can fail
	Facts   image.Facts  // what the bytes themselves say
	Element fhir.Element // the Media or DocumentReference that names it
}

// Trace tells where the elements of a Bundle come from, and what was left.
type Trace struct {
	Elements []TracedElement `json:"elements"`
	Unmapped []string        `json:"unmapped"`
	Ignored  []IgnoredLeaf   `json:"ignored"`
}

// TracedElement is one written element: its path in its resource, the leaves it was made from, the rule.
type TracedElement struct {
	Path string   `json:"path"`           // "Patient.identifier[0].value"
	From []string `json:"value_from"`     // empty for a constant
	Rule string   `json:"rule"`           // "maps/segments/PID[Patient].yaml:12:3"
	Site bool     `json:"site,omitempty"` // the rule is in a site's maps, not in the shipped ones
}

// IgnoredLeaf is a valued leaf left out on purpose.
type IgnoredLeaf struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Party is an HL7 application and its facility.
type Party struct{ App, Facility string }

// Out is what a message to be written needs beyond its content.
type Out struct {
	Message          string      // its type and event, "RRI_I13": written by the map Bundle[…] of that name or of its structure, RRI_I12
	Version          string      // MSH-12, one of hl7.Versions; "2.4" when empty
	Strict           bool        // no field that the version lacks, not even those that a map sends early
	Limits           []hl7.Limit // of places at this destination, in characters: lines are split there, all else is refused
	Lengths          bool        // what is longer than Version allows is refused (lines are split)
	ControlID        string      // MSH-10
	Answers          string      // MSA-2: MSH-10 of what is answered; empty: as the Bundle says
	Replaces         string      // TXA-13: TXA-12 of the document that this one takes the place of (MDM^T10)
	Application      string      // MSH-16: when an application acknowledgement is asked for later; NE when empty
	At               time.Time
	Sender, Receiver Party
	Charset          string                                 // MSH-18, table 0211; empty: UNICODE UTF-8
	Zone             *time.Location                         // times are written as local time there with its offset; nil: UTC
	Files            func(sha256 string) (fhir.Data, error) // a file that the Bundle names by its hash
	Received         *hl7.Message                           // what is answered, when it came as HL7 v2: see received in docs/mapping.md
	Ran              *Coverage                              // when not nil, notes the rules that do something
}
