package config

import (
	"path/filepath"
	"time"
	_ "time/tzdata" // a container image from scratch has no time zone database

	"github.com/dermgate/dermgate/gateway/pathway"
)

// Default is the configuration of `gateway serve` without a file: everything on loopback, an embedded
// store under ./data, HL7 v2 by MLLP on 2575 and by HTTP, FHIR on 8080, operations on 8081.
//
// It has no destinations and so no routes: nobody can guess where a site's referrals go. A request is
// therefore refused (AE, or an OperationOutcome) by name of what is missing, and recorded; nothing is
// acknowledged that could not be sent on. Name destinations and routes in a file to let requests through.
//
// Its rules for HL7 v2 are those of the shipped examples: RF1-3.1 AG or DERM, RF1-2.1 2WW or U.
func Default() *Config {
	c := defaults("data")
	c.file = "(default)"
	for _, s := range []Source{
		{Name: "mllp", Kind: MLLP, Listen: "127.0.0.1:2575"},
		{Name: "hl7http", Kind: HL7HTTP},
		{Name: "fhir", Kind: FHIR},
	} {
		s = defaultSource(s)
		if s.Kind != FHIR {
			s.KindOfCase = &KindOfCase{From: "RF1-3.1", Advice: []string{"AG"}, Referral: []string{"DERM"}}
			s.Urgency = &Urgency{From: "RF1-2.1", TwoWeekWait: []string{"2WW"}, Urgent: []string{"U"}, Routine: []string{"R"}}
		}
		c.Sources = append(c.Sources, s)
	}
	return c
}

// defaults are what a file need not say; data is the folder of the embedded store.
func defaults(data string) *Config {
	return &Config{
		Site: Site{Name: "Dermgate", Timezone: london()},
		Store: Store{
			Embedded: filepath.Join(data, "gateway.db"),
			Retain:   84 * 24 * time.Hour, // 12 weeks: longer than any open case's limit
		},
		Photos:   Photos{Folder: filepath.Join(data, "photos"), Cache: Cache{Path: filepath.Join(data, "photo-cache"), Bytes: 1 << 30}, Floor: Floor{SSIM: 0.95, Side: 1000, Quality: 75}},
		HTTP:     Listener{Listen: "127.0.0.1:8080"},
		Admin:    Listener{Listen: "127.0.0.1:8081"},
		Limits:   Limits{MessageBytes: 64 << 20, PhotoBytes: 25 << 20, PhotoPixels: 64e6, PixelsAtOnce: 24e6, Attachments: 200},
		Alarms:   Alarms{OldestWaiting: 15 * time.Minute, OldestParked: time.Hour, Digest: 8 * time.Hour},
		Shutdown: Shutdown{Grace: 10 * time.Second},
		Owners:   Owners{Requester: "clinician", Provider: Owner{Name: "provider"}, Operations: Owner{Name: "operations"}},
		Timers:   pathway.DefaultTimers(),
	}
}

// london is the zone of every NHS sender; UTC on a machine without a time zone database would be an hour
// wrong all summer, so its absence (impossible: the binary embeds one) is a crash and not a guess.
func london() *time.Location {
	z, err := time.LoadLocation("Europe/London")
	if err != nil {
		panic("config: no time zone database: " + err.Error())
	}
	return z
}

// defaultSource fills in what a source need not say.
func defaultSource(s Source) Source {
	s.Processing = "P"
	s.Carries = []string{Requests, Answers}
	s.Acknowledge = Acknowledge{Mode: Original, WhenDown: "AR", Batch: BatchEach}
	s.Repeat = Repeat{Window: 14 * 24 * time.Hour}
	s.Checks = Checks{Consent: Hold, Images: Hold, NHSNumber: Require, Photo: Strictly, Profile: Warn, Unmapped: Off, Unmatched: Hold}
	s.RashCodes = []string{"RASH", "271807003"} // SNOMED CT: eruption of skin
	s.Validate = Validate{Structure: Off, Datatype: Off, Table: Off, Length: Off, Required: Off}
	s.Connections, s.PerAddress = 256, 64
	s.Poll = 5 * time.Minute
	if s.Kind == ERSWorklist {
		// What is in e-RS has been sent: consent was the referrer's to ask for, and nothing here can hold it up.
		s.Checks = Checks{Consent: Off, Images: Off, NHSNumber: Warn, Photo: Warn, Profile: Off, Unmapped: Off, Unmatched: Hold}
		s.Poll, s.Watch, s.Rate = 15*time.Minute, time.Hour, 10
		s.Lists, s.At = []string{ListReview}, []time.Duration{7 * time.Hour, 13 * time.Hour}
	}
	if s.Kind == File {
		s.Poll, s.Settle = time.Second, 2*time.Second
	}
	return s
}

// defaultDestination fills in what a destination need not say.
func defaultDestination(d Destination) Destination {
	d.Concurrency = 4
	d.Timeout = 30 * time.Second
	d.Retry = Retry{First: time.Second, Longest: 5 * time.Minute}
	d.Probe, d.WhenParked = time.Minute, WhenParkedStop
	d.PhotoTypes = []string{"jpeg", "png", "gif", "tiff", "bmp"} // what every viewer opens
	switch d.Kind {
	case MLLP:
		d.Message, d.Answer, d.Version, d.Charset, d.Acknowledge = "REF_I12", "ORU_R01", "2.4", "UNICODE UTF-8", Original
		d.LetterPhotos, d.LaterFields = "embedded", "mapped"
		d.Length = Off
	case FHIR:
		d.Mode = "message"
	case ERS:
		d.PhotoBytes = 5 << 20 // e-RS refuses larger files (A020)
		d.PhotoTypes = photoTypes(ERS)
		d.Poll = 5 * time.Minute
		d.Rate = 10 // an application, in production
		d.BusinessFunction = "REFERRING_CLINICIAN"
	case MESHOut:
		d.Workflow, d.AnswerWithin, d.ChunkBytes = "GPFED_CONSULT_REPORT", 24*time.Hour, 20_000_000
		d.WhenParked = WhenParkedPass // each message stands for itself
		d.PhotoTypes = []string{"jpeg", "png", "gif", "tiff"}
	case Notify:
		d.WhenParked = WhenParkedPass // each notice stands for itself
	}
	return d
}
