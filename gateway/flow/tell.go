package flow

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Telling the patient (INV2): what a move owes is sent by the channel that suits them, or becomes a person's task; only what
// shows that they know discharges it (pathway.EvidenceTable). docs/notices.md says all of it in words.

// Tasks about notices.
const (
	taskTell    = "tell-patient"   // somebody must tell the patient
	taskRelease = "release-notice" // a clinician must read, and let the notice go
)

// Why a notice that was made is not sent. Whether one to a patient who has died is owed to anybody else, a person says.
const (
	theyDied = "the patient has died: nothing is sent to them"
	outgrown = "what the patient needs became known after it was made"
)

// notices sends what the last move owes to the patient, or gives it to a person where no machine may or
// can tell it.
func (d *decision) notices(ctx context.Context) error {
	for _, o := range d.c.Open(d.c.Moves) {
		if err := d.notice(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// notice sends one, or gives it to a person.
func (d *decision) notice(ctx context.Context, o *pathway.Obligation) error {
	e, ok := d.p.notifier()
	switch {
	case d.hospital != "" && o.ByHospitalToo():
		d.judged(o, pathway.ByHospital, "told", d.hospital)
		return nil
	case !o.ByMachine():
		d.person(o, "no machine tells it: it is told by a person")
		return nil
	case o.Notice == "N4" && d.reviewer == "":
		d.hold(o)
		return nil
	case !ok:
		d.person(o, "no channel to the patient is configured")
		return nil
	}
	request, err := d.loadRequest(ctx)
	if err != nil {
		return err
	}
	patient := request.First("Patient")
	w := d.wayTo(e, patient, o)
	if w.why != "" {
		d.person(o, w.why)
		return nil
	}
	number := nhsNumber(patient)
	if number == "" {
		d.person(o, "no NHS number to send a message to")
		return nil
	}
	fields, ok, err := e.Templates.Personalisation(w.plan, o.Notice, d.noticeWords(request, o, w.language))
	if tooLong := new(TooLong); errors.As(err, &tooLong) {
		d.person(o, "its "+tooLong.Error())
		return nil
	}
	if err != nil {
		return err
	}
	if !ok {
		d.person(o, "there is no text for this notice")
		return nil
	}
	return d.send(ctx, e, w.plan, o, number, fields)
}

// send queues a notice, and winds the clock by which something must show that it was read.
func (d *decision) send(ctx context.Context, e Endpoint, plan string, o *pathway.Obligation, number string, fields map[string]string) error {
	o.Ref = d.derive("notice", o.Event, strconv.Itoa(o.Move), strconv.Itoa(len(d.c.Obligations))).String()
	body, err := notifyBody(plan, o.Ref, number, fields)
	if err != nil {
		return err
	}
	o.Known = len(d.c.Needs)
	d.refs = append(d.refs, Ref{SystemNotice, o.Ref})
	if err := d.wind(clockNote{Notice: o.Ref}, o.Due, "clock", "notice", o.Ref); err != nil {
		return err
	}
	return d.deliver(ctx, e, outgoing{what: "notice:" + o.Notice, key: o.Ref, body: whole(body), mediaType: "application/json"})
}

// noticeWords gathers what a notice may say.
func (d *decision) noticeWords(request *fhir.Bundle, o *pathway.Obligation, language string) NoticeWords {
	photos := 0
	for _, ph := range d.c.Sendable() {
		if !ph.Document {
			photos++
		}
	}
	return NoticeWords{Language: language, Event: o.Event, Name: personName(request.First("Patient")), Advice: d.c.Kind == pathway.Advice, Urgency: d.c.Urgency,
		Suspected: d.c.Suspected(), Photos: photos, Practice: name(request, "requester"), Phone: phone(request, "requester"), Hospital: name(request, "performer"),
		Decision: d.c.Outcome.Decision, When: day(d.when, d.p.Site.Zone), Words: d.words}
}

// personName gives first and last name as the patient is greeted: the usual one, else the first that is not an old one.
func personName(patient fhir.Element) string {
	text := ""
	for n := range patient.Children("name") {
		use := n.Child("use").Text()
		whole := strings.TrimSpace(n.Child("given").Text() + " " + n.Child("family").Text())
		if use == "old" || whole == "" {
			continue
		}
		if use == "usual" {
			return whole
		}
		if text == "" {
			text = whole
		}
	}
	return text
}

// day says when, as a patient reads it; empty of what is no instant.
func day(start string, zone *time.Location) string {
	at, err := time.Parse(time.RFC3339, start)
	if err != nil {
		return ""
	}
	return strings.Replace(at.In(zone).Format("Monday 2 January 2006 at 3:04pm"), ":00", "", 1)
}

// hold keeps a notice until a clinician has released it.
func (d *decision) hold(o *pathway.Obligation) {
	o.Status, o.By = pathway.NoticeHeld, "a clinician releases it"
	owner := d.c.Request.Requester
	if owner == "" {
		owner = d.c.Request.Organisation
	}
	d.c.AddTask(pathway.Task{Code: taskRelease, Owner: owner, Why: o.Event + ": read the answer, and release what tells the patient of it", Opened: d.at, Due: o.Due})
	d.tell("task", "a clinician must release what tells the patient: "+o.Event, "")
}

// release4 lets go the answers' notices that waited for the reviewer at hand.
func (d *decision) release4(ctx context.Context) error {
	for _, o := range d.c.Owed("N4") {
		if o.Status != pathway.NoticeHeld {
			continue
		}
		o.Status, o.By, o.Due = pathway.NoticeOpen, "", d.p.calendar().NoticeDue(o.Notice, d.at)
		d.tell("act", o.Event+" is released by "+d.reviewer, "")
		if err := d.notice(ctx, o); err != nil {
			return err
		}
	}
	d.c.FinishTasks(taskRelease, d.reviewer, d.at)
	return nil
}

// person gives a notice to somebody: a task for the practice, timed. What was told before needs nobody.
func (d *decision) person(o *pathway.Obligation, why string) {
	if o.Status != pathway.NoticeOpen {
		return
	}
	o.Discharge(pathway.NoticePerson, why, d.at)
	d.c.AddTask(pathway.Task{Code: taskTell, Owner: d.c.Request.Organisation, Why: o.Event + ": " + why, Opened: d.at, Due: o.Due})
	told := "somebody must tell the patient: " + o.Event
	if why == theyDied {
		told = o.Event + ": " + why
	}
	d.tell("task", told, "")
}

// judged takes what a channel says of a notice, by the table of evidence; who is behind it, where a name is known.
func (d *decision) judged(o *pathway.Obligation, channel, says, who string) {
	row, ok := pathway.Judge(channel, says)
	switch {
	case !ok || row.Means == "" || o.Discharged():
	case row.Means == pathway.NoticePerson:
		d.person(o, row.Why)
	case !slices.Contains(o.Allowed(), channel):
		d.tell("observed", o.Event+": "+channel+" is no channel by which it is told", o.Ref)
	default:
		d.knows(o, channel, says, who)
	}
}

// knows records that the patient knows what a notice is about.
func (d *decision) knows(o *pathway.Obligation, channel, says, who string) {
	by, told, finished := channel+":"+says, o.Event+" read in the NHS App", "NHS Notify"
	switch channel {
	case pathway.ByPerson:
		by, told, finished = channel+": "+who, o.Event+": attested by "+who, who
	case pathway.ByHospital:
		by, told, finished = channel+": "+who, o.Event+": "+who+" says that the patient knows", who
	}
	o.Discharge(pathway.NoticeTold, by, d.at)
	d.doneTelling(o, finished)
	d.tell("told", told, o.Ref)
}

// doneTelling ends the tasks about a notice.
func (d *decision) doneTelling(o *pathway.Obligation, by string) {
	is := func(t pathway.Task) bool { return strings.HasPrefix(t.Why, o.Event+":") }
	d.c.FinishTask(taskTell, is, by, d.at)
	d.c.FinishTask(taskRelease, is, by, d.at)
}

// noticed takes what NHS Notify tells of a notice (INV2).
func (d *decision) noticed(n *NoticeFact) error {
	if o := d.c.Obligation(n.Reference); o != nil {
		d.judged(o, n.Channel, n.Status, "")
	}
	return nil
}

// untold is what the clock of a notice finds when no channel has shown in time that the patient knows: a person tells them.
func (d *decision) untold(ref string) bool {
	o := d.c.Obligation(ref)
	if o == nil || o.Status != pathway.NoticeOpen {
		return false
	}
	d.judged(o, pathway.ByAnyOfThem, "silent", "")
	return true
}

// unsent takes a notice that its channel refused, or that was stopped before it went.
func (d *decision) unsent(ref string) {
	o := d.c.Obligation(ref)
	switch {
	case o == nil:
	case d.c.Died:
		d.person(o, theyDied)
	case d.outgrown(o):
		d.person(o, outgrown)
	default:
		d.judged(o, pathway.ByAnyOfThem, "refused", "")
	}
}

// outgrown tells a notice that was made before something about how its patient is told was known.
func (d *decision) outgrown(o *pathway.Obligation) bool { return o.Known < len(d.c.Needs) }

// overtaken takes a notice that Before let pass unsent, because it is not so any more.
func (d *decision) overtaken(del Delivery) bool {
	o := d.c.Obligation(del.Key)
	if o == nil || o.Status != pathway.NoticeCancelled && o.Status != pathway.NoticeWaived {
		return false
	}
	d.tell("cancelled", o.Event+" was not sent: "+o.By, del.ID.String())
	return true
}

// amended cancels what was to tell the patient of an answer that another one now takes the place of. The new answer is read
// and released as the first was; where the case is at its end, a notice of it is owed at once, and held for that.
func (d *decision) amended(_ context.Context, over bool) error {
	if !d.amends && !over {
		return nil
	}
	cancelled := d.cancel("N4", "the answer was amended")
	told := slices.ContainsFunc(d.c.Obligations, func(o pathway.Obligation) bool { return o.Notice == "N4" && o.Status == pathway.NoticeTold })
	if told {
		d.c.AddTask(pathway.Task{Code: "told-before-amendment", Owner: d.c.Request.Organisation, Why: "the patient was told of an answer that has been amended since: read it, and tell them",
			Opened: d.at, Due: d.at.Add(urgentTask)})
	}
	if over && !d.p.Machines[d.c.Kind].Ended(d.c.State) && (cancelled || told) {
		d.hold(d.c.Owe("N4-diagnosis-and-plan", d.at, d.p.calendar()))
	}
	return nil
}

// cancel ends those of a notice that are owed, because what they would say is not so any more. It tells whether any was.
func (d *decision) cancel(notice, why string) bool {
	owed := d.c.Owed(notice)
	for _, o := range owed {
		o.Discharge(pathway.NoticeCancelled, why, d.at)
		d.doneTelling(o, why)
		d.tell("cancelled", o.Event+": "+why, o.Ref)
	}
	return len(owed) > 0
}

// attest takes a named person's word that they told the patient: of these notices, or of all that are owed. A cancer (N9) is
// owed by no event that a machine sees: a clinician's word opens and ends it in one.
func (d *decision) attest(person string, notices []string, clinician bool) error {
	if slices.Contains(notices, pathway.Diagnosis) {
		if !clinician {
			return issue.New(issue.Denied, "notice", "that a diagnosis of cancer was told, a clinician attests")
		}
		d.c.Owe(pathway.Diagnosis+"-cancer-diagnosed", d.at, d.p.calendar())
	}
	any := false
	for _, o := range d.c.Owed("") {
		if len(notices) == 0 || slices.Contains(notices, o.Notice) {
			d.judged(o, pathway.ByPerson, "told", person)
			any = true
		}
	}
	if !any && len(notices) > 0 {
		return issue.New(issue.NotFound, "notice", "the case owes the patient no such notice")
	}
	if len(d.c.Owed("")) == 0 {
		d.c.FinishTasks(taskTell, person, d.at)
	}
	return nil
}

// hospitalTold takes that the message at hand says that the patient knows of it. Only who was asked says so.
func (d *decision) hospitalTold(f Facts) {
	if f.PatientTold == "" || f.ofRequester() {
		return
	}
	d.hospital = cmp.Or(d.c.Request.Performer, f.PatientTold)
	for _, o := range d.c.Owed("") {
		if o.ByHospitalToo() {
			d.judged(o, pathway.ByHospital, "told", d.hospital)
		}
	}
}

// patientTold reads that the patient knows of what a message tells: a Communication to them that they have received, or an
// observation that says so (HL7 v2: OBX-3 PATIENTTOLD, OBX-5 Y). It gives who says it, "" where nobody does.
func patientTold(b *fhir.Bundle, source string) string {
	said := false
	patient := fullURL(b.First("Patient"))
	for c := range b.All("Communication") {
		for to := range c.Children("recipient") {
			said = said || patient != "" && to.Child("reference").Text() == patient && c.Child("status").Text() == "completed" && c.Child("received").OK()
		}
	}
	for o := range b.All("Observation") {
		said = said || coded(o.Child("code"), "") == "PATIENTTOLD" && o.Child("status").Text() != "entered-in-error" && coded(o.Child("valueCodeableConcept"), "") == "Y"
	}
	if !said {
		return ""
	}
	return source
}
