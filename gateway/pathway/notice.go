package pathway

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Obligation is a notice owed to the patient (INV2): opened by an event, by when and how it may be told, and what became of
// it.
type Obligation struct {
	Notice string    `json:"notice"` // "N1"
	Event  string    `json:"event"`  // "N1-request-sent"
	Move   int       `json:"move"`   // the transition that raised it
	Opened time.Time `json:"opened"`
	Due    time.Time `json:"due"`
	Status string    `json:"status"`           // open | held | told | waived | cancelled | person
	By     string    `json:"by,omitempty"`     // evidence: "nhsapp:read", "attested: <person>", …; or why a person must tell it
	Reason string    `json:"reason,omitempty"` // of a waived one: a code of WaiveReasons
	Ref    string    `json:"ref,omitempty"`    // messageReference of the notice sent
	Known  int       `json:"known,omitempty"`  // how many of the case's Needs were known when it was made
	Ended  time.Time `json:"ended,omitzero"`
}

// Statuses of a notice. Told, Waived and Cancelled discharge it. Person means the machine could not tell the patient and
// somebody must; Held that a clinician has not released it yet.
const (
	NoticeOpen      = "open"
	NoticeHeld      = "held"
	NoticeTold      = "told"
	NoticeWaived    = "waived"
	NoticeCancelled = "cancelled" // what it would say is not so any more; the one that takes its place is owed
	NoticePerson    = "person"
)

// Discharged tells a notice that is owed no more.
func (o *Obligation) Discharged() bool {
	return o.Status == NoticeTold || o.Status == NoticeWaived || o.Status == NoticeCancelled
}

// Diagnosis is the notice of a cancer: never told by machine, only the word of a clinician who has told it is recorded.
const Diagnosis = "N9"

// Channels by which the patient may come to know.
const (
	ByApp       = "nhsapp"
	BySMS       = "sms"
	ByEmail     = "email"
	ByLetter    = "letter"
	ByPerson    = "attested" // a named person says that they told it: face to face, by phone
	ByHospital  = "hospital" // the booking system's own message says that the patient knows
	ByAnyOfThem = ""         // NHS Notify speaks of the message as a whole
)

// Evidence is a row of the table of what shows that the patient knows: what a channel says, and what that makes of a notice.
// Means is NoticeTold, NoticePerson, or empty where it shows nothing.
type Evidence struct{ Channel, Says, Means, Why string }

// EvidenceTable is all that counts, and all that does not, of what is said about a notice (docs/notices.md has the same
// rows). What is in no row shows nothing.
var EvidenceTable = []Evidence{
	{ByApp, "read", NoticeTold, "the patient has opened it"},
	{ByApp, "delivered", NoticeTold, "NHS Notify says so once the NHS App has said that it was read"},
	{ByApp, "failed", NoticePerson, "the NHS App failed it"},
	{ByApp, "skipped", NoticePerson, "the NHS App skipped it"},
	{BySMS, "delivered", "", "a phone has it, and it says only that there is a message"},
	{ByEmail, "delivered", "", "a mailbox has it; nobody knows whether it was read"},
	{ByLetter, "delivered", "", "it was posted; nobody knows whether it arrived, or was read"},
	{ByAnyOfThem, "delivered", "", "some channel has it; its own row says what that shows"},
	{ByAnyOfThem, "failed", NoticePerson, "NHS Notify could not deliver it"},
	{ByAnyOfThem, "refused", NoticePerson, "the channel refused the message"},
	{ByAnyOfThem, "silent", NoticePerson, "nothing shows in time that it was read"},
	{ByPerson, "told", NoticeTold, "a named person says that they told the patient"},
	{ByHospital, "told", NoticeTold, "the message of e-RS or the booking system says that the patient knows"},
}

// Judge gives the row for what a channel says; false where there is none.
func Judge(channel, says string) (Evidence, bool) {
	for _, e := range EvidenceTable {
		if e.Channel == channel && e.Says == says {
			return e, true
		}
	}
	return Evidence{}, false
}

// allowed are the channels by which each notice may be told (pathway.md §4.3), beside a person, who may tell any.
var allowed = map[string][]string{
	"N1": {ByApp, ByLetter}, "N2": {ByApp, BySMS}, "N3": {ByApp, ByLetter, ByHospital}, "N4": {ByApp, ByLetter}, "N5": {ByApp, ByLetter, ByHospital},
	"N6": {ByApp, ByLetter}, "N7": {ByApp, BySMS, ByHospital}, "N8": {ByApp, ByLetter},
}

// NowUrgent is the event that is told by phone: a referral has become urgent.
const NowUrgent = "N3-now-urgent"

// Allowed gives the channels by which a notice may be told.
func (o *Obligation) Allowed() []string {
	if o.Event == NowUrgent {
		return []string{ByPerson}
	}
	return append(slices.Clone(allowed[o.Notice]), ByPerson)
}

// ByMachine tells whether a machine may send a notice at all.
func (o *Obligation) ByMachine() bool { return slices.Contains(o.Allowed(), ByApp) }

// ByHospitalToo tells a notice that the hospital itself may have told.
func (o *Obligation) ByHospitalToo() bool { return slices.Contains(o.Allowed(), ByHospital) }

// WaiveReasons are the coded reasons for which a clinician may waive a notice, and what each means.
var WaiveReasons = map[string]string{
	"patient-died":          "the patient has died",
	"patient-declined":      "the patient has asked not to be told",
	"serious-harm":          "telling would probably cause serious harm to the patient or somebody else",
	"no-capacity":           "the patient cannot take it in; whoever decides for them was told",
	"said-in-another":       "another notice, or the consultation, has said it",
	"opened-in-error":       "what it would say did not happen",
	"cannot-be-reached":     "every way was tried and written down, and the practice has it in the record",
	"transferred-elsewhere": "another organisation has taken over telling the patient, and has said so",
}

// WaiveCodes gives the codes of WaiveReasons, sorted.
func WaiveCodes() []string { return slices.Sorted(maps.Keys(WaiveReasons)) }

// Owe opens the obligation to tell the patient of an event ("N8-late").
func (c *Case) Owe(event string, at time.Time, by Calendar) *Obligation {
	notice, _, _ := strings.Cut(event, "-")
	c.Obligations = append(c.Obligations, Obligation{Notice: notice, Event: event, Move: c.Moves, Opened: at, Due: by.NoticeDue(notice, at), Status: NoticeOpen})
	return &c.Obligations[len(c.Obligations)-1]
}

// Told tells whether every notice owed so far is discharged.
func (c *Case) Told() bool {
	return !slices.ContainsFunc(c.Obligations, func(o Obligation) bool { return !o.Discharged() })
}

// Open gives the notices that a transition has opened and that still have to be sent.
func (c *Case) Open(move int) []*Obligation {
	return c.owed(func(o *Obligation) bool { return o.Move == move && o.Status == NoticeOpen && o.Ref == "" })
}

// Owed gives what is not discharged: of one notice ("N4"), or with "" of all.
func (c *Case) Owed(notice string) []*Obligation {
	return c.owed(func(o *Obligation) bool { return !o.Discharged() && (notice == "" || o.Notice == notice) })
}

func (c *Case) owed(is func(*Obligation) bool) (out []*Obligation) {
	for i := range c.Obligations {
		if o := &c.Obligations[i]; is(o) {
			out = append(out, o)
		}
	}
	return out
}

// Obligation finds the notice that a messageReference belongs to.
func (c *Case) Obligation(ref string) *Obligation {
	for i := range c.Obligations {
		if c.Obligations[i].Ref == ref {
			return &c.Obligations[i]
		}
	}
	return nil
}

// Discharge records what became of a notice. It never undoes what was discharged before.
func (o *Obligation) Discharge(status, by string, at time.Time) {
	if o.Discharged() {
		return
	}
	o.Status, o.By = status, by
	if o.Discharged() {
		o.Ended = at
	}
}

// Needs of a patient, and dangers, by which who writes to them goes (DAPB1605, pathway.md §4 and H22). A language other than
// English is NeedLanguage with its BCP 47 code.
const (
	NeedRestricted  = "restricted" // S-flag: nothing by machine, and no address in any message
	NeedProxy       = "proxy"
	NeedInterpreter = "interpreter"
	NeedLanguage    = "language:"
	NeedLargePrint  = "large-print"
	NeedBraille     = "braille"
	NeedAudio       = "audio"
	NeedEasyRead    = "easy-read"
	NeedSign        = "sign-language"
	NeedTextphone   = "textphone"
	NeedTelephone   = "telephone" // they want to be called
	NeedVisit       = "visit"
	NeedLetter      = "letter"
	NeedNoPhone     = "no-phone"
	NeedUnsafePhone = "unsafe-phone"
)

// Needing tells whether the patient is known to need something.
func (c *Case) Needing(need string) bool { return slices.Contains(c.Needs, need) }

// Learn adds what is now known of the patient's needs; what was known stays, until a person sees to it. It tells whether
// anything was new.
func (c *Case) Learn(needs []string) bool {
	before := len(c.Needs)
	for _, n := range needs {
		if !c.Needing(n) {
			c.Needs = append(c.Needs, n)
		}
	}
	return len(c.Needs) > before
}

// Language gives the BCP 47 code of the patient's language where it is not English, else "".
func (c *Case) Language() string {
	for _, n := range c.Needs {
		if code, ok := strings.CutPrefix(n, NeedLanguage); ok {
			return code
		}
	}
	return ""
}
