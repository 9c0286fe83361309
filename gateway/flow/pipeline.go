package flow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
)

// Pipeline is the way of a message: Accept translates, checks, decides and keeps; Apply works follow-ups
// into their case; Settled turns what a destination did into what the case knows; Fire rings the clocks.
type Pipeline struct {
	Store     Store
	Bodies    Bodies
	Maps      func() *mapping.Set // today's maps
	Machines  pathway.Machines
	Timers    pathway.Timers
	Site      Site
	Sources   map[string]SourceRules
	Endpoints []Endpoint
	Routes    []Route
	Owners    Owners
	Budget    *Budget // of photos that are made to fit at once; nil: no bound
	// Decode opens photos that are no JPEG, in a process of its own (gateway/photoworker), those of the types that Decodes
	// tells; nil: none is.
	Decode  func(context.Context) image.Decode
	Decodes func(image.Type) bool
	Secret  []byte           // key of the patient hash
	Now     func() time.Time // the wall clock; the store keeps its own for due times
	Poke    func(to string)  // wakes a destination's dispatcher; may be nil
	Alarm   func(name, text string)
	// SignedIn is handed the CIS2 ID token of a user who has signed in for a case, for a destination that is ForUser: it
	// keeps it in memory alone. May be nil: nobody can sign in.
	SignedIn func(to string, work ID, idToken string)
}

// Site is the organisation that runs the gateway.
type Site struct {
	Name string
	ODS  string
	Zone *time.Location
	// Calendar has its working days; without a zone of its own, in Zone.
	Calendar pathway.Calendar
}

// Owners are the people that tasks go to when the state machine names a role, and who stands in for them.
type Owners struct {
	Provider, Deputy             string
	Operations, OperationsDeputy string
	Practice                     bool // what is asked of a requester is asked of their practice
}

// Check is what to do about a request that fails a rule of its source.
type Check string

const (
	Require Check = "require" // AE: only the refusal is kept
	Hold    Check = "hold"    // AA with a warning; the case waits for its requester
	Warn    Check = "warn"    // AA, the warning recorded
	Off     Check = "off"
)

// Checks of a source.
type Checks struct {
	Consent   Check
	Images    Check
	NHSNumber Check
	Photo     Check // of a photo that is none; "strict" in the configuration is Require
	Profile   Check // of resources that do not meet the UK Core profile of their type; empty: Off
	Unmatched Check // of an answer that finds no case: Require refuses it; else it is held
	Unmapped  Check // of fields that no rule carries: Warn tells the sender of each
}

// SourceRules is what is known of a source beforehand.
type SourceRules struct {
	Name          string
	Organisation  string // ODS code that its requests come from, when the message does not say
	App, Facility string // MSH-3 and MSH-4 must match; empty: anything
	Overlay       string // of the maps, what it does differently; empty: none
	Charset       string // what it sends in, as hl7.ParseIn takes it
	BatchAnswer   bool   // a batch is answered by one batch acknowledgement, not by one for each message
	Processing    string // MSH-11 taken: P unless configured
	Kind          mapping.KindRule
	Urgency       mapping.UrgencyRule
	Checks        Checks
	Rash          []string    // codes, in capitals, of a request that is about a rash: its photos are other ones
	Validate      hl7.Profile // how strictly its HL7 v2 is held to the standard
	Limits        image.Limits
	Attachments   int        // most files in a message
	Ignore        []hl7.Path // fields that may differ in a repeat
	Answers       bool       // may send answers (a platform, an EPR, the channel itself)
	Requests      bool       // may open cases
	Found         bool       // its requests are with their provider already, found on a worklist: they begin where the state machine's entries say
	Acts          string     // of Found: destination that relays what people decide about its requests; empty: none
	Enhanced      bool       // MSH-15 and 16 say how a message is acknowledged; else it is answered at once, whatever they say
	ApplicationTo string     // destination of application acknowledgements, when Enhanced
}

// Endpoint is a destination as the flow sees it: what to render for it.
type Endpoint struct {
	Name          string
	Kind          EndpointKind
	Message       string      // HL7 v2 message for requests and outcomes, "REF_I12" or "RRI_I12"
	Answer        string      // HL7 v2 message for answers to A&G: "ORU_R01", "MDM_T02"
	First         string      // HL7 v2 message by which it gets to know the patient, before any other about a case: "ADT_A28"; empty: none
	Letter        string      // HL7 v2 message for the words of an outcome, beside Message: "MDM_T02"; empty: none
	LetterPhotos  string      // where the photos go when it gets MDM_T02: PhotosEmbedded, PhotosDocuments, PhotosNone
	Version       string      // MSH-12
	MessageBytes  int64       // largest HL7 v2 message it takes; 0: no limit
	Limits        []hl7.Limit // of places, in characters
	Lengths       bool        // what is longer than Version allows is refused
	Strict        bool        // no field that Version lacks, not even those that maps send early
	App, Facility string      // MSH-5 and MSH-6
	Charset       string
	Application   string        // MSH-16: AL asks for an application acknowledgement later, by a source; empty: NE
	Takes         Takes         // photos and documents
	Poll          string        // destination that polls for answers; empty: they are pushed
	PollEvery     time.Duration // pace of polling
	RoutingPlan   string        // NHS Notify
	Plans         Plans         // NHS Notify: for patients whom RoutingPlan does not suit
	Templates     *Notices
	Mailbox       string            // MESH: the sender's
	Workflow      string            // MESH: workflow id
	Mailboxes     map[string]string // MESH: of practices, by ODS code, that are addressed directly; others by their patient
	Phone         string            // MESH: of the sender
	Within        time.Duration     // MESH: how long responses may take; 0: 24 h
	Transaction   bool              // FHIR: the resources are left with it; else it gets messages
	ForUser       bool              // it takes messages from a user alone who has signed in
}

// EndpointKind is the language of a destination.
type EndpointKind string

const (
	ToERS    EndpointKind = "ers"
	ToFHIR   EndpointKind = "fhir"
	ToMLLP   EndpointKind = "mllp"
	ToNotify EndpointKind = "notify"
	ToMESH   EndpointKind = "mesh"
)

func (p *Pipeline) endpoint(name string) (Endpoint, bool) {
	for _, e := range p.Endpoints {
		if e.Name == name {
			return e, true
		}
	}
	return Endpoint{}, false
}

func (p *Pipeline) notifier() (Endpoint, bool) {
	for _, e := range p.Endpoints {
		if e.Kind == ToNotify {
			return e, true
		}
	}
	return Endpoint{}, false
}

func (p *Pipeline) poke(to string) {
	if p.Poke != nil {
		p.Poke(to)
	}
}

// PatientKey hashes an NHS number with the site's secret, so that a case can be found by patient while
// the store shows no number. Empty stays empty.
func (p *Pipeline) PatientKey(nhsNumber string) string {
	if nhsNumber == "" {
		return ""
	}
	mac := hmac.New(sha256.New, p.Secret)
	mac.Write([]byte(nhsNumber))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
