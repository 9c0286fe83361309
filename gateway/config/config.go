// Package config reads gateway.yaml, the one file that says what the gateway does. It is strict: a key or
// value that means nothing is a fault at file:line:col with a suggestion, and one reading shows all of
// them. Nothing else in the program reads configuration or the environment.
package config

import (
	"net/netip"
	"os"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
)

// Config is the whole configuration, defaults filled in.
type Config struct {
	Site         Site
	Store        Store
	Photos       Photos
	HTTP         Listener // senders and readers: /hl7, /fhir
	Admin        Listener // operations, health, metrics
	Limits       Limits
	Alarms       Alarms
	Shutdown     Shutdown
	Owners       Owners
	Timers       pathway.Timers // the pathway's, with the file's over them
	Sources      []Source
	Destinations []Destination
	Routes       []Route
	Maps         string // folder of a site's own maps, over the shipped ones; empty: none
	Audit        string // the audit log's file; empty: audit.jsonl in the photos' folder

	file  string
	at    map[string]position
	files map[string]string
}

// Site is the organisation that runs the gateway.
type Site struct {
	Name     string
	ODS      string
	Timezone *time.Location // of HL7 v2 times without an offset
	// BankHolidays differ from those that the rules for England give.
	BankHolidays BankHolidays
}

// BankHolidays are days off, as "2027-06-07", that a proclamation has added, and those that it has moved away.
type BankHolidays struct{ Also, Not []string }

// Calendar counts working days at the site.
func (s Site) Calendar() pathway.Calendar {
	c, err := pathway.NewCalendar(s.Timezone, s.BankHolidays.Also, s.BankHolidays.Not)
	if err != nil {
		panic("config: a bank holiday that was read is none: " + err.Error())
	}
	return c
}

// Store is where messages and cases are kept: Redis when set, else the embedded file.
type Store struct {
	Redis    *Redis
	Embedded string        // path of the file
	Retain   time.Duration // how long a finished case is kept
}

// Photos is the store of originals and derivatives.
type Photos struct {
	Folder string // of file:// URLs; empty: they are in a bucket
	Bucket string // s3:// URL
	Cache  Cache  // of a bucket

	Key     Secret   // 32 bytes; unset only with the embedded store, which then makes photo.key beside its file
	OldKeys []Secret // of before a rotation: open what is there, and seal nothing
	Floor   Floor
}

// Cache is where a gateway keeps photos of a bucket that are being received or were read lately, sealed as in the bucket.
type Cache struct {
	Path  string
	Bytes int64
}

// Floor is what a photo keeps that is made to fit a destination (image.Floor); under it, it is refused there.
type Floor struct {
	SSIM    float64 // 0.5 to 1
	Side    int     // pixels
	Quality int     // 1 to 100
}

// Listener is an HTTP listener.
type Listener struct {
	Listen  string
	TLS     *TLS
	OIDC    *OIDC
	Clients []Client
}

// TLS holds a server's certificate and the authority of its clients' certificates.
type TLS struct{ CertFile, KeyFile, ClientCAFile string }

// OIDC is who issues the bearer tokens a listener takes, and the claims it reads.
type OIDC struct {
	Issuer, Audience  string
	RolesClaim        string // list of roles; "roles" unless set
	OrganisationClaim string // ODS code; "organisation" unless set
}

// Client is what a client certificate may do.
type Client struct {
	Certificate  string // subject common name, or a DNS or URI name of the certificate
	Organisation string
	Roles        []string
}

// Roles are what a person or system may be.
const (
	RoleSender   = "sender"   // sends messages and reads what became of them
	RoleReferrer = "referrer" // releases and resolves
	RoleOperator = "operator" // replays and pauses
	RoleViewer   = "viewer"   // reads
	RoleProvider = "provider" // answers, triages and ends what was sent to it in e-RS
)

// Limits on what comes in.
type Limits struct {
	MessageBytes int64
	PhotoBytes   int64
	PhotoPixels  int64
	PixelsAtOnce int64 // of photos that are decoded at the same time
	Attachments  int
}

// Shutdown is how the gateway goes when it is told to (SIGTERM).
type Shutdown struct {
	Notice time.Duration // /readyz says so and connections end after their next answer, before none is taken any more
	Grace  time.Duration // for what has begun
}

// Alarms go to a webhook.
type Alarms struct {
	Webhook       Secret
	OldestWaiting time.Duration
	OldestParked  time.Duration
	Digest        time.Duration            // time of day at which each owner is told of what may wait for it
	SenderSilent  map[string]time.Duration // by source
}

// Owners are the people whom tasks go to.
type Owners struct {
	Requester  string // "clinician": who asked, by name, then their practice; "practice": the practice
	Provider   Owner
	Operations Owner
}

// Owner is a named person or team and who stands in.
type Owner struct{ Name, Deputy string }

// Party is an application and facility of MSH-3/4 or MSH-5/6.
type Party struct{ App, Facility string }

// Source kinds.
const (
	MLLP        = "mllp"
	HL7HTTP     = "hl7http"
	FHIR        = "fhir"
	File        = "file"
	ERSWorklist = "ers-worklist"
	MESH        = "mesh"
)

// Destination kinds beside MLLP and FHIR.
const (
	ERS     = "ers"
	Notify  = "notify"
	MESHOut = MESH
)

// Source is where messages come in. Which fields its kind uses: see sourceKeys.
type Source struct {
	Name, Kind   string
	Listen       string
	TLS          *TLS
	Allow        []netip.Prefix
	Proxies      []netip.Prefix // load balancers that say by the PROXY protocol who connects
	AllowNames   []string       // of client certificates: common name or DNS name; empty: any
	Connections  int            // at once
	PerAddress   int            // of Connections, from one address
	Organisation string
	Sender       Party  // what MSH-3/4 must be
	Overlay      string // of the maps: senders/NAME.yaml
	Charset      string // what it sends in: docs/senders.md says how that and MSH-18 go together
	Processing   string // MSH-11 taken
	Carries      []string
	KindOfCase   *KindOfCase
	Urgency      *Urgency
	Acknowledge  Acknowledge
	Repeat       Repeat
	Checks       Checks
	RashCodes    []string // codes, in capitals, of a request about a rash
	Validate     Validate

	Path                string        // file: the folder
	Settle              time.Duration // file: how long one must stay the same before it is taken
	BaseURL             string        // ers-worklist, mesh
	Auth                *Auth
	Client              *ClientTLS
	Mailbox             string        // mesh
	Password, SharedKey Secret        // mesh: of the mailbox, of the environment
	Workflows           []string      // mesh: workflow ids that are taken; empty: all
	Poll                time.Duration // file, ers-worklist of a signed-in user, mesh: between two looks

	// Of ers-worklist.
	Services         []string        // ers-service ids
	Lists            []string        // ListReview, ListSlots, ListAdvice
	At               []time.Duration // since midnight: when an application looks
	Watch            time.Duration   // between two looks at a request that was found
	BusinessFunction string          // NHSD-eRS-Business-Function of a signed-in user; empty: an application's own token
	OnBehalfOf       string          // NHSD-eRS-On-Behalf-Of-User-ID
	ActsAs           string          // NHSD-eRS-Business-Function of users who sign in with their acts; empty: none is relayed
	Rate             float64         // calls a second
}

// ProviderClinician is the business function of a specialist in e-RS, and the beginning of their admin's.
const ProviderClinician = "SERVICE_PROVIDER_CLINICIAN"

// Worklists of a provider in e-RS.
const (
	ListReview = "review" // referrals for review: triage and booked
	ListSlots  = "slots"  // appointment slot issues: deferred to the provider
	ListAdvice = "advice" // advice and guidance requests
)

// What a source carries.
const (
	Requests = "requests" // may open cases
	Answers  = "answers"  // may answer them
)

// KindOfCase tells A&G from referral: the codes found at From.
type KindOfCase struct {
	From             string // HL7 path
	Advice, Referral []string
}

// Urgency tells how urgent a request is: the codes found at From.
type Urgency struct {
	From                         string // HL7 path
	TwoWeekWait, Urgent, Routine []string
}

// Modes of acknowledgement (HL7 v2.8 §2.9.2, §2.9.3).
const (
	Original = "original" // one answer at once
	Enhanced = "enhanced" // a source: as MSH-15 and 16 of each message ask; a destination: both are asked for
)

// Acknowledge is how a source is answered.
type Acknowledge struct {
	Mode          string // Original or Enhanced
	WhenDown      string // "AR" or "close"
	ApplicationTo string // destination of the later application acknowledgement, when enhanced
	Batch         string // BatchEach or BatchOne
}

// How a batch is answered.
const (
	BatchEach = "each"  // one acknowledgement a message
	BatchOne  = "batch" // one batch acknowledgement (HL7 v2.8 §2.10.3)
)

// Repeat is what counts as the same message again.
type Repeat struct {
	Window time.Duration
	Ignore []string // HL7 paths that may differ
}

// Check is what to do about a request that breaks a rule.
type Check string

// The checks; strict is require, for photos.
const (
	Require  Check = "require"
	Hold     Check = "hold"
	Warn     Check = "warn"
	Off      Check = "off"
	Strictly Check = "strict"
)

// Checks of a source.
type Checks struct{ Consent, Images, NHSNumber, Photo, Profile, Unmapped, Unmatched Check }

// Validate is how strictly the HL7 v2 of a source is held to the standard: each of Off, Warn, Refuse.
type Validate struct {
	Structure, Datatype, Table, Length, Required Check

	Tables  []CodeTable // the site's own values
	Lengths []MaxLength // the site's own lengths
}

// Refuse is a finding of validation that refuses the message.
const Refuse Check = "refuse"

// CodeTable gives the values a site takes of a table, in place of the standard's.
type CodeTable struct {
	Table  string // its number, "0001"
	Values []string
}

// MaxLength is the greatest length of a place, in place of the standard's.
type MaxLength struct {
	At         string // HL7 path without occurrence and repetition
	Characters int
}

// Auth is how the gateway proves who it is: a bearer token, or a signed assertion exchanged for one.
type Auth struct {
	Token    Secret
	TokenURL string // OAuth 2 token endpoint
	ClientID string
	Key      Secret // PEM: the first RSA private key signs the assertion (RS512), all keys are published
	KeyID    string // kid of the first key; empty: its thumbprint (RFC 7638)
	Secret   Secret // of the application, for renewing a user's sign-in; unset: it is not renewed
}

// ClientTLS is how the gateway connects.
type ClientTLS struct{ CAFile, CertFile, KeyFile, ServerName string }

// How a destination shows the colours of photos.
const (
	ColoursAsProfile = "profile" // as the profile in the photo says
	ColoursSRGB      = "srgb"    // all as sRGB
)

// Destination is where messages go. Which fields its kind uses: see destinationKeys.
type Destination struct {
	Name, Kind   string
	Address      string // mllp
	BaseURL      string
	Auth         *Auth
	TLS          *ClientTLS
	Plaintext    string        // why a destination off loopback is spoken to without TLS; empty: it is not
	PhotoBytes   int64         // largest photo it takes; 0: no limit
	PhotoPixels  int64         // width times height; 0: no limit
	PhotoTypes   []string      // of photos that it takes: "jpeg", "dicom"
	PhotoFloor   Floor         // what a photo keeps that is made to fit; zeros: as Photos.Floor
	PhotoColours string        // how it shows them; empty: ColoursAsProfile
	Photos       int           // most files in one message, photos and documents; 0: no limit
	Rate         float64       // a second, of all replicas together; 0: no limit
	Concurrency  int           // of one replica
	Together     int           // of all replicas; 0: no limit
	Timeout      time.Duration // of one attempt
	Retry        Retry
	Probe        time.Duration // while it does not answer: the longest wait between two tries
	WhenParked   string        // WhenParkedStop or WhenParkedPass

	Message  string // mllp: message for requests and outcomes
	Answer   string // mllp: message for answers
	First    string // mllp: message by which it gets to know the patient before any other: ADT_A28; empty: none
	Letter   string // mllp: message for the words of an outcome, beside Message
	Version  string // MSH-12
	Charset  string // MSH-18
	Receiver Party  // MSH-5/6
	Mode     string // fhir: "message" or "transaction"

	Headers    string // fhir: HeadersBaRS; empty: FHIR's own
	UseContext string // fhir, BaRS: use-context

	MessageBytes int64       // mllp: largest message it takes; 0: no limit
	Length       Check       // mllp: Off, or Refuse: what is longer than Version allows is not sent
	Lengths      []MaxLength // mllp: of places, in place of those of Version; lines of text are split there
	LaterFields  string      // mllp: fields that Version lacks go out as the maps say ("mapped") or not at all ("none")

	LetterPhotos string // mllp: the photos of a letter are "embedded" in it, "documents" of their own, or "none"

	Acknowledge string // mllp: Original, or Enhanced: an application acknowledgement is asked for, and comes by a source

	ODS              string        // ers: NHSD-End-User-Organisation-ODS; fhir, BaRS: NHSD-End-User-Organisation, empty: the site's
	BusinessFunction string        // ers: NHSD-eRS-Business-Function
	OnBehalfOf       string        // ers: NHSD-eRS-On-Behalf-Of-User-ID
	Service          string        // ers: service id of requests that name none; fhir, BaRS: dos-service-id of the receiver
	Specialty        string        // ers: SPECIALTY code of the service search
	ClinicType       string        // ers: CLINIC-TYPE code of the service search
	Poll             time.Duration // ers, fhir: pace of looking for answers; fhir 0: they are sent
	PollAuth         *Auth         // ers: the provider's application, which answers are read as; nil: with a token as Auth, else they are not read

	Mailbox             string            // mesh: the sender's
	Password, SharedKey Secret            // mesh: of the mailbox, of the environment
	Workflow            string            // mesh: workflow id of what is sent
	Mailboxes           map[string]string // mesh: of practices that are addressed directly, by ODS code
	Phone               string            // mesh: of the sender, as the receiver shows it
	AnswerWithin        time.Duration     // mesh: how long the receiver has to answer
	ChunkBytes          int64             // mesh: of a message, in one request

	RoutingPlan string // notify
	Plans       Plans  // notify: for patients whom it does not suit
	Callback    *Callback
	Templates   string // notify: folder of a site's own texts; empty: the shipped ones
}

// HeadersBaRS are those of the Booking and Referral Standard.
const HeadersBaRS = "bars"

// Plans are the routing plans of NHS Notify for patients whom the usual one does not suit; empty: a person tells them.
type Plans struct {
	App        string // the NHS App alone
	Letter     string
	LargePrint string
	Braille    string
	Audio      string
}

// What becomes of a lane whose first delivery is parked.
const (
	WhenParkedStop = "stop" // what is behind it waits for the person's decision
	WhenParkedPass = "pass" // what is behind it goes on
)

// Retry is when a delivery that failed for a passing reason is tried again, and when it is given to a person.
type Retry struct {
	First, Longest time.Duration // waits: after the first failure, and at most
	Attempts       int           // so many; 0: no limit
	Within         time.Duration // so long after it was made; 0: no limit
}

// Callback is how NHS Notify proves itself when it calls back: the x-api-key it sends, and the secret
// "<application id>.<api key>" that its HMAC is made with.
type Callback struct{ APIKey, Secret Secret }

// Route sends what matches When to the destinations in To.
type Route struct {
	When When
	To   []string
}

// When is the condition of a route; empty keys match all.
type When struct{ Source, Message, Event, Case, Outcome, Priority, Organisation, Specialty string }

// Load reads a file. The error is Faults, or says why the file cannot be read. Relative paths inside it
// start at its own folder.
func Load(file string) (*Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, b, os.LookupEnv)
}

// Parse reads the text of a configuration; file is its name in faults, env looks up ${NAME}. The error is
// Faults: everything wrong with it, by Check as well.
func Parse(file string, b []byte, env func(string) (string, bool)) (*Config, error) {
	d := &decoder{file: file, env: env, at: map[string]position{}, files: map[string]string{}}
	c := defaults(d.resolve("data"))
	c.file, c.at, c.files = file, d.at, d.files
	if n, ok := d.root(b); ok {
		d.config(n, c)
		c.inherit()
		if len(d.faults) == 0 { // rules between keys make no sense of half-read ones
			d.faults = c.Check()
		}
	}
	d.faults.sort()
	return c, d.faults.Err()
}

// inherit gives what speaks to e-RS the site's own organisation where it names none.
func (c *Config) inherit() {
	for i := range c.Sources {
		if s := &c.Sources[i]; s.Kind == ERSWorklist && s.Organisation == "" {
			s.Organisation = c.Site.ODS
		}
	}
	for i := range c.Destinations {
		if t := &c.Destinations[i]; t.Kind == ERS && t.ODS == "" {
			t.ODS = c.Site.ODS
		}
	}
}

// Fault makes a fault at the place of a key, such as "sources[0].listen"; where the key is absent, at that
// of what should hold it.
func (c *Config) Fault(path, text string) *Fault {
	p := c.position(path)
	return &Fault{File: c.file, Line: p.line, Col: p.col, Text: text}
}

func (c *Config) position(path string) position {
	for path != "" {
		if p, ok := c.at[path]; ok {
			return p
		}
		path = parent(path)
	}
	return position{1, 1}
}

func parent(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return ""
}
