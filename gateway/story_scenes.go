package main

import (
	"net/http"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// conversations are those of the story.
func conversations() []conversation {
	return []conversation{
		{name: "01-suspected-cancer", title: "Suspected cancer, straightforward, to the EPR", play: playStraight, ends: []string{"referral HANDED_TO_BOOKING"}},
		{name: "02-photos-wait", title: "Suspected cancer without photo consent and dermoscopic photo", play: playPhotosWait, ends: []string{"referral HANDED_TO_BOOKING"}},
		{name: "03-provider-pull", title: "Found in e-RS by the provider, to the EPR", play: playPull, ends: []string{"referral HANDED_TO_BOOKING"}, sources: pullSource,
			routes: "  - {when: {source: ers-list}, to: [epr]}\n"},
		{name: "04-advice-only", title: "Advice only", play: playAdviceOnly, ends: []string{"advice CLOSED"}},
		{name: "05-please-refer", title: "“Please refer, urgent”, unread at first", play: playPleaseRefer, ends: []string{"advice CLOSED", "referral HANDED_TO_BOOKING"}},
		{name: "06-more-information", title: "More information, on a platform and in e-RS", play: playMore, ends: []string{"advice CLOSED", "advice CLOSED"}},
		{name: "07-converted", title: "Converted in e-RS, tracked as its own case", play: playConverted, ends: []string{"advice CLOSED", "referral HANDED_TO_BOOKING"},
			sources: adviceSource, routes: "  - {when: {source: ers-list}, to: [epr]}\n  - {when: {event: converted}, to: [epr]}\n"},
		{name: "08-returned", title: "Returned with advice, a downgrade attempted", play: playReturned, ends: []string{"referral CLOSED"}},
		{name: "09-straight-to-test", title: "Straight to test, accepted", play: playTest, ends: []string{"referral CLOSED"}},
		{name: "10-ers-down", title: "e-RS down and no token: alarm, then sent once", play: playDown, ends: []string{"referral HANDED_TO_BOOKING"}},
		{name: "11-wrong-patient", title: "Wrong patient, wrong lesion: stopped", play: playWrong, ends: []string{"advice CANCELLED", "advice CLOSED"}},
		{name: "12-not-reachable", title: "Patient not reachable", play: playUnreachable, ends: []string{"advice CLOSED"}},
		{name: "13-withdrawn", title: "Withdrawn", play: playWithdrawn, ends: []string{"referral CLOSED"}},
	}
}

const gp, dermatologist, hospital = "GP", "dermatologist", "hospital"

// drOkafor is the GP of most conversations.
const drOkafor = "G5612908"

// triages lets the dermatologist decide about the nth case in e-RS, and the gateway see it.
func (p *play) triages(n int, outcome, priority string) {
	ubrn := p.stands(n, pathway.AwaitingTriage).Channel["ubrn"]
	comment := p.words("comment.txt")
	p.does(dermatologist, "triages "+ubrn+" in e-RS: "+outcome+gist([]string{comment}), func() error {
		return p.w.ers.Triage(ubrn, sim.Outcome{Outcome: outcome, Comment: comment, Priority: priority})
	})
	p.polled()
}

// accepted lets the nth case's referral be accepted and booked, and cancer tracking take over what is suspected cancer.
func (p *play) accepted(n int) {
	p.triages(n, "ACCEPT_REFER_BOOK_LATER", "")
	p.booked(n)
}

func (p *play) booked(n int) {
	c := p.stands(n, pathway.ProviderToAction)
	if c.Suspected() {
		p.reviews(hospital, "cancer tracking takes over the 28-day clock", sim.Review{Act: "cancer-tracking", Person: "cancer-tracking@RXX01", Identifiers: ofCase(c)})
	}
	p.does(hospital, "books an appointment in e-RS", func() error { return p.w.ers.Book(c.Channel["ubrn"]) })
	p.polled()
}

// advises answers the nth request that the A&G platform has.
func (p *play) advises(n int, a sim.Advice) {
	asked := p.w.ag.Requests()
	p.wants(len(asked) >= n, "the platform has %d requests: %d", n, len(asked))
	p.does(dermatologist, "answers on the platform: "+a.Outcome+gist([]string{a.Guidance}), func() error { return p.w.ag.Answer(p.ctx, asked[n-1].ID, a) })
}

func adviceOnly(guidance string) sim.Advice {
	return sim.Advice{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "ADVICE_ONLY_NO_REFERRAL_RECOMMENDED", Priority: "ROUTINE", Guidance: guidance}
}

// tells lets the practice tell the patient of the nth case, whom no machine may, and say so.
func (p *play) tells(n int, state pathway.State) {
	p.pass(2 * time.Hour)
	c := p.stands(n, state)
	p.reviews(gp, "has telephoned the patient and says so", sim.Review{Act: "attest-told", Identifiers: ofCase(c), Person: drOkafor})
}

// manages lets the GP read the answer of the nth case and decide.
func (p *play) manages(n int) {
	c := p.stands(n, pathway.Responded)
	p.reviews(gp, "has read the answer and manages it in the practice", sim.Review{Identifiers: ofCase(c), Person: drOkafor, Decision: "manage-in-primary-care"})
}

func playStraight(p *play) {
	p.sends("referral.hl7", "AA")
	p.days(1, 9)
	p.accepted(1)
}

func playPhotosWait(p *play) {
	p.sends("referral.hl7", "AA")
	c := p.stands(1, pathway.AwaitingTriage)
	p.wants(len(c.Withheld()) == 2 && c.Pending() > 0, "both photos wait, and somebody is asked: %+v", c.Tasks)
	p.pass(90 * time.Minute)
	p.operates(gp, "release", c.ID, "--reason", "consent was given, and is recorded now")
	p.days(1, 9)
	c = p.stands(1, pathway.AwaitingTriage)
	_, q := p.w.referral("9990002010")
	p.wants(len(q.Files) == 3, "the letter and both photos are in e-RS: %d files", len(q.Files))
	p.accepted(1)
}

// pullSource is the worklist of the hospital's service in e-RS, read by its application twice a day.
const pullSource = `  - name: ers-list
    kind: ers-worklist
    base_url: "${ERS}"
    auth: {token_url: "${TOKEN_URL}", client_id: hospital, key_file: "${DIR}/key.pem"}
    services: ["50001"]
    watch: 5m
    rate: 1000/s
`

func playPull(p *play) {
	p.does("GP in e-RS", "sends a referral with its letter and a photo to the hospital's service, without this gateway", func() (err error) {
		photo, err := photos.File("L1-overview.jpg")
		if err != nil {
			return err
		}
		_, err = p.w.ers.Refer(sim.Sent{Patient: "9990548609", Priority: "URGENT", Service: "50001", Organisation: "Y06601", Files: []sim.File{
			{Name: "letter.pdf", Type: "application/pdf", Description: "Referral letter", Body: []byte("%PDF-1.4 the letter of the GP")},
			{Name: "mole.jpg", Type: "image/jpeg", Description: "Left forearm", Body: photo}}})
		return err
	})
	p.days(1, 9)
	p.accepted(1)
	p.tells(1, pathway.Booked)
}

func playAdviceOnly(p *play) {
	p.sends("advice.hl7", "AA")
	p.days(1, 14)
	p.advises(1, adviceOnly(p.words("guidance.txt")))
	p.days(1, 9)
	p.manages(1)
}

func playPleaseRefer(p *play) {
	p.sends("advice.hl7", "AA")
	p.days(1, 9)
	p.advises(1, sim.Advice{Outcome: "RETURN_TO_REFERRER_WITH_ADVICE", Recommendation: "REFERRAL_RECOMMENDED", Priority: "TWO_WEEK_WAIT", Guidance: p.words("guidance.txt")})
	p.days(0, 18)
	c := p.stands(1, pathway.Responded)
	p.wants(c.Task("overdue") != nil, "the practice is asked the same day: %+v", c.Tasks)
	p.wants(len(p.w.ers.Requests("r")) == 0, "nothing is referred by the gateway")
	p.days(1, 8)
	p.reviews(gp, "has read the answer and refers", sim.Review{Identifiers: ofCase(c), Person: drOkafor, Decision: "i-will-refer"})
	p.sends("referral.hl7", "AA")
	p.days(0, 14)
	p.accepted(2)
}

func playMore(p *play) {
	p.sends("advice.hl7", "AA")
	p.days(1, 9)
	p.advises(1, sim.Advice{Outcome: "REQUIRE_FURTHER_INFORMATION", Guidance: p.words("question.txt")})
	p.days(1, 9)
	p.sends("more.hl7", "AA")
	p.days(1, 9)
	p.advises(1, adviceOnly(p.words("guidance.txt")))
	p.manages(1)

	p.posts("GP SystmOne", "advice.json", "/$process-message", http.StatusOK)
	ubrn := p.stands(2, pathway.AwaitingProvider).Channel["ubrn"]
	p.days(1, 9)
	p.answersInERS(ubrn, sim.Advice{Outcome: "REQUIRE_FURTHER_INFORMATION", Guidance: p.words("question.txt")})
	p.stands(2, pathway.InfoRequested)
	p.days(1, 9)
	p.does("GP in e-RS", "gives it there, in e-RS's own application", func() error { return p.w.ers.Attach("a", ubrn, p.words("more.txt")) })
	p.polled()
	p.stands(2, pathway.AwaitingProvider)
	p.days(1, 9)
	p.answersInERS(ubrn, adviceOnly(p.words("guidance.txt")))
	p.manages(2)
}

// answersInERS lets the specialist answer an A&G request in e-RS, and the gateway see it.
func (p *play) answersInERS(ubrn string, a sim.Advice) {
	p.does(dermatologist, "answers "+ubrn+" in e-RS: "+a.Outcome+gist([]string{a.Guidance}), func() error { return p.w.ers.Answer(ubrn, a) })
	p.polled()
}

// adviceSource is the worklist of the service with its A&G requests, read as a clinician who is signed in.
const adviceSource = `  - name: ers-list
    kind: ers-worklist
    base_url: "${ERS}"
    auth: {token_file: "${DIR}/ers-token"}
    organisation: RXX01
    business_function: SERVICE_PROVIDER_CLINICIAN
    lists: [advice]
    services: ["50001"]
    poll: 20h
    watch: 5m
    rate: 1000/s
`

func playConverted(p *play) {
	ubrn := ""
	p.does("GP in e-RS", "asks the hospital's service for advice, and allows it to make a referral of it", func() error {
		photo, err := photos.File("L1-closeup.jpg")
		if err == nil {
			ubrn, err = p.w.ers.Ask(sim.Sent{Patient: "9990002045", Priority: "URGENT", Service: "50001", Organisation: "Y06601", Conversion: "AUTHORISED_TO_CONVERT",
				Text: p.words("question.txt"), Files: []sim.File{{Name: "mole.jpg", Type: "image/jpeg", Description: "Left forearm", Body: photo}}})
		}
		return err
	})
	p.days(1, 9)
	p.stands(1, pathway.AwaitingProvider)
	p.does(dermatologist, "converts "+ubrn+" into a referral, in e-RS", func() error {
		if err := p.w.ers.Answer(ubrn, sim.Advice{Outcome: "PROVIDER_CONVERTED", Guidance: p.words("guidance.txt")}); err != nil {
			return err
		}
		_, err := p.w.ers.Convert(ubrn)
		return err
	})
	p.polled()
	p.booked(2)
	p.tells(1, pathway.EndedNoticeDue)
	p.tells(2, pathway.Booked)
}

func playReturned(p *play) {
	p.sends("referral.hl7", "AA")
	p.days(1, 9)
	p.triages(1, "RETURN_TO_REFERRER_WITH_ADVICE", "ROUTINE")
	c := p.stands(1, pathway.Returned)
	p.wants(c.Suspected() && c.Task("urgency-lowered") != nil, "it stays suspected cancer, and somebody must look: %s %+v", c.Urgency, c.Tasks)
	p.days(1, 9)
	p.reviews(gp, "has read it, agrees that it is no cancer, and manages it in the practice", sim.Review{Identifiers: ofCase(c), Person: drOkafor, Decision: "manage-in-primary-care"})
}

func playTest(p *play) {
	p.sends("referral.hl7", "AA")
	ubrn := p.stands(1, pathway.AwaitingTriage).Channel["ubrn"]
	p.days(1, 9)
	p.does(dermatologist, "ends "+ubrn+" in e-RS: STRAIGHT_TO_TEST"+gist([]string{p.words("comment.txt")}), func() error {
		return p.w.ers.End(ubrn, "STRAIGHT_TO_TEST", p.words("comment.txt"))
	})
	p.polled()
}

func playDown(p *play) {
	p.does("e-RS", "is down: it answers 503, whatever is asked", func() error { p.w.ers.Fail(sim.Fault{Status: 503, Times: 3}); return nil })
	p.sends("referral.hl7", "AA")
	for range 2 {
		p.pass(4 * time.Minute)
	}
	p.does("GP", "is signed in to e-RS no more: their token is gone when e-RS is back", func() error { p.signedIn = false; return nil })
	p.pass(12 * time.Minute)
	p.does("GP", "signs in again", func() error { p.signedIn = true; return nil })
	p.pass(10 * time.Minute)
	p.stands(1, pathway.AwaitingTriage)
	p.wants(len(p.w.ers.Requests("r")) == 1, "it was sent once: %d", len(p.w.ers.Requests("r")))
	p.days(1, 9)
	p.accepted(1)
}

func playWrong(p *play) {
	p.sends("typo.hl7", "AE")
	p.sends("lesion.hl7", "AA")
	p.stands(1, pathway.Held)
	p.wants(len(p.w.ag.Requests()) == 0, "nothing leaves")
	p.days(1, 9)
	p.sends("withdrawal.hl7", "AA")
	p.sends("advice.hl7", "AA")
	c := p.stands(2, pathway.AwaitingProvider)
	p.days(1, 9)
	p.names = []string{"${CASE}", c.ID}
	p.posts("A&G platform", "other.json", "/$process-message", http.StatusOK) // it is kept, and given to nobody
	p.stands(2, pathway.AwaitingProvider)
	for _, d := range p.parked() {
		p.operates("interface team", "discard", d.ID.String(), "--reason", "the platform mixed up two patients, and has been told")
	}
	p.advises(1, adviceOnly(p.words("guidance.txt")))
	p.manages(2)
}

func playUnreachable(p *play) {
	p.does("NHS Notify", "cannot reach the patient: no NHS App, and what is handed over counts for nothing", func() error { p.w.notify.Outcome = "failed"; return nil })
	p.sends("advice.hl7", "AA")
	p.days(1, 14)
	p.advises(1, adviceOnly(p.words("guidance.txt")))
	p.manages(1)
	p.tells(1, pathway.Reviewed)
}

func playWithdrawn(p *play) {
	p.sends("referral.hl7", "AA")
	p.days(1, 9)
	p.sends("withdrawal.hl7", "AA")
	c := p.stands(1, pathway.AwaitingTriage)
	p.pass(2 * time.Hour)
	p.does("GP in e-RS", "cancels the referral there", func() error { return p.w.ers.Cancel(c.Channel["ubrn"]) })
	p.polled()
}
