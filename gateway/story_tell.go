package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// progress is how far a conversation was told.
type progress struct {
	day                             string
	events                          map[flow.ID]int
	tasks                           map[string]bool // open ones by id
	next                            map[flow.ID]string
	emis, systmone, epr, ers, ag    int
	patient, read, alarms           int
	opened, closed, notices, byHand int
	last                            []string // how the cases stand
}

// received is a message that somebody got.
type received struct {
	name string // "gp/001-ACK.hl7"
	raw  []byte
}

func (p *play) header() {
	fmt.Fprintf(&p.out, "%s  %s\n", p.name[:2], p.title)
	for _, line := range strings.Split(strings.TrimSpace(string(p.archive.Comment)), "\n") {
		fmt.Fprintf(&p.out, "    %s\n", line)
	}
	p.told.events, p.told.tasks, p.told.next = map[flow.ID]int{}, map[string]bool{}, map[flow.ID]string{}
}

// say prints a line under the time it happens.
func (p *play) say(who, what string) {
	at := p.clock.Now().In(p.zone())
	if day := at.Format("Mon 2 Jan 2006"); day != p.told.day {
		p.told.day = day
		fmt.Fprintf(&p.out, "  %s\n", day)
	}
	fmt.Fprintf(&p.out, "    %s  %-15s %s\n", at.Format("15:04"), who, what)
}

// receive keeps what somebody got, and prints where.
func (p *play) receive(who, what string, raw []byte) string {
	n := 1
	for _, f := range p.got {
		if strings.HasPrefix(f.name, who+"/") {
			n++
		}
	}
	name := fmt.Sprintf("%s/%03d-%s", who, n, what)
	p.got = append(p.got, received{name, raw})
	return name
}

// tell prints what is new: what the gateway did and why, what everybody got, who has something to do, and who owns the next
// step.
func (p *play) tell() error {
	records, err := p.cases()
	if err != nil {
		return err
	}
	arrived := false
	for _, r := range records {
		story, err := p.w.app.store.Story(p.ctx, r.ID)
		if err != nil {
			return err
		}
		for _, e := range story[p.told.events[r.ID]:] {
			if e.What == "delivered" && !arrived {
				p.arrivals(records)
				arrived = true
			}
			p.event(r, e, len(records) > 1)
		}
		p.told.events[r.ID] = len(story)
	}
	if !arrived {
		p.arrivals(records)
	}
	if err := p.tasks(records); err != nil {
		return err
	}
	said := strings.Split(strings.TrimSuffix(string(p.alarms.Bytes()), "\n"), "\n")
	for _, line := range said[min(p.told.alarms, len(said)):] {
		if line != "" {
			p.say("ALARM", line)
			p.told.alarms++
		}
	}
	return p.nextSteps(records)
}

// event prints a line of a case's story that is told nowhere else.
func (p *play) event(r flow.CaseRecord, e flow.Event, several bool) {
	switch e.What {
	case "received":
		p.in++
	case "queued", "delivered", "task":
		return
	}
	what := e.What + ": " + e.Text
	if several {
		what = r.Index.Kind + " " + r.ID.String()[:8] + ", " + what
	}
	p.say("gateway", what)
}

// arrivals prints and keeps what everybody got.
func (p *play) arrivals(records []flow.CaseRecord) {
	for _, gp := range []struct {
		name string
		all  []sim.Message
		seen *int
		as   string
	}{{"GP system EMIS", p.w.emis.Messages(), &p.told.emis, "gp"}, {"GP SystmOne", p.w.systmone.Messages(), &p.told.systmone, "gp"}, {"hospital EPR", p.w.epr.Messages(), &p.told.epr, "epr"}} {
		for _, m := range byCase(p, records, gp.all[*gp.seen:], func(m sim.Message) string { return m.Control }) {
			name := p.receive(gp.as, strings.ReplaceAll(m.Type, "^", "_")+".hl7", m.Raw)
			p.say(gp.name, "has "+p.describe(m.Raw)+"  ["+name+"]"+gist(m.Texts))
		}
		*gp.seen = len(gp.all)
	}
	for _, c := range p.w.ag.Received("$process-message")[p.told.ag:] {
		p.told.ag++
		name := p.receive("ag", "message.json", c.Body)
		p.say("A&G platform", fmt.Sprintf("has a message, %d KB → %d  [%s]", len(c.Body)>>10, c.Status, name))
	}
	p.fromERS()
	all := p.w.notify.Messages()
	for _, m := range byCase(p, records, all[p.told.patient:], func(n sim.Notice) string { return n.Reference }) {
		name := p.receive("patient", p.noticeOf(records, m.Reference)+".txt", []byte(m.Text+"\n"))
		first, _, _ := strings.Cut(m.Text, "\n")
		p.say("patient", "“"+first+"”  ["+name+"]")
	}
	p.told.patient = len(all)
}

// byCase puts what came at the same time in the order of its cases, by the key that each has.
func byCase[T any](p *play, records []flow.CaseRecord, came []T, key func(T) string) []T {
	place := func(m T) int {
		for _, system := range []string{"control-id", flow.SystemNotice} {
			if ids, err := p.w.app.store.Find(p.ctx, flow.Ref{System: system, Value: key(m)}); err == nil && len(ids) > 0 {
				return slices.IndexFunc(records, func(r flow.CaseRecord) bool { return r.ID == ids[0] })
			}
		}
		return len(records)
	}
	came = slices.Clone(came)
	if len(records) > 1 {
		slices.SortStableFunc(came, func(a, b T) int { return place(a) - place(b) })
	}
	return came
}

// fromERS prints and keeps what was written to e-RS.
func (p *play) fromERS() {
	calls := p.w.ers.Received()
	for _, c := range calls[p.told.ers:] {
		if callNames[c.Name] == "" { // it reads
			if c.Status >= 400 {
				p.say("e-RS", fmt.Sprintf("answers %s with %d", c.Name, c.Status))
			}
			continue
		}
		what := c.Name + ".json"
		if c.Name == "A020" {
			what = c.Name + path.Ext(uploadName(c))
		}
		if c.Status >= 400 || c.Status == 0 {
			p.say("e-RS", fmt.Sprintf("answers %s with %d", c.Name, c.Status))
			continue
		}
		name := p.receive("ers", what, c.Body)
		p.say("e-RS", fmt.Sprintf("has %s, %s  [%s]", callNames[c.Name], size(len(c.Body)), name))
	}
	p.told.ers = len(calls)
}

func uploadName(c sim.Call) string {
	if name := c.Header.Get("NHSD-eRS-File-Name"); path.Ext(name) != "" {
		return name
	}
	if strings.HasPrefix(c.Header.Get("Content-Type"), "image/") {
		return "photo.jpg"
	}
	return "file.pdf"
}

// callNames are the calls of e-RS that write.
var callNames = map[string]string{"A011": "a referral (A011)", "A012": "the referral's letter (A012)", "A016": "the triage request (A016)", "A020": "a file (A020)",
	"A044": "an A&G request (A044)", "A026": "advice (A026)", "A028": "a triage outcome (A028)",
	"A036": "the end of a referral (A036)"}

func size(n int) string {
	if n < 1<<10 {
		return fmt.Sprint(n, " bytes")
	}
	return fmt.Sprint(n>>10, " KB")
}

// noticeOf names the notice that a messageReference belongs to.
func (p *play) noticeOf(records []flow.CaseRecord, ref string) string {
	for _, r := range records {
		var c pathway.Case
		if json.Unmarshal(r.State, &c) == nil {
			if o := c.Obligation(ref); o != nil {
				return o.Event
			}
		}
	}
	return "notice"
}

// tasks prints who has got something to do, and what is done.
func (p *play) tasks(records []flow.CaseRecord) error {
	for _, r := range records {
		var c pathway.Case
		if err := json.Unmarshal(r.State, &c); err != nil {
			return err
		}
		for _, t := range c.Tasks {
			open, seen := p.told.tasks[t.ID]
			if !seen {
				p.told.opened++
				p.say("task", fmt.Sprintf("for %s by %s: %s (%s)", t.Owner, p.when(t.Due), t.Why, t.Code))
			}
			if !t.Done.IsZero() && (open || !seen) {
				p.told.closed++
				p.say("task done", t.Code+by(t.By))
			}
			p.told.tasks[t.ID] = t.Done.IsZero()
		}
	}
	return nil
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

// nextSteps prints who owns the next step of each case that has not ended, when that changes.
func (p *play) nextSteps(records []flow.CaseRecord) error {
	for _, r := range records {
		n, err := p.w.app.pipeline.Next(r)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s: %s, by %s", n.Who, n.What, p.when(n.By))
		if n == (flow.Next{}) {
			line = "none: " + r.Index.State
		}
		if p.told.next[r.ID] != line {
			p.told.next[r.ID] = line
			p.say("next step", line)
		}
	}
	return nil
}

func (p *play) when(t time.Time) string {
	if t.IsZero() {
		return "any time"
	}
	return t.In(p.zone()).Format("Mon 2 Jan 15:04")
}

// describe names an HL7 v2 message.
func (p *play) describe(raw []byte) string {
	first, _, _ := strings.Cut(string(raw), "\r")
	f := strings.Split(first, "|")
	if len(f) < 10 {
		return "something"
	}
	photos := ""
	if n := bytes.Count(raw, []byte("^Base64^")); n > 0 {
		photos = fmt.Sprintf(", %d files", n)
	}
	return fmt.Sprintf("%s %s (HL7 v2, %s%s)", strings.Join(strings.Split(f[8], "^")[:2], "^"), f[9], size(len(raw)), photos)
}

// gist is the beginning of what is written for people.
func gist(texts []string) string {
	if len(texts) == 0 || texts[0] == "" || strings.Contains(texts[0], "^") {
		return ""
	}
	line, _, _ := strings.Cut(strings.NewReplacer("\r", "\n").Replace(texts[0]), "\n")
	if r := []rune(line); len(r) > 70 {
		line = string(r[:70]) + "…"
	}
	return " “" + line + "”"
}

var (
	long  = regexp.MustCompile(`[A-Za-z0-9+/]{200,}={0,2}`)
	ports = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// text shows a file as the fixtures have it: a segment a line, JSON indented, photos and documents by size and hash.
func (f received) text() []byte {
	raw := f.raw
	switch path.Ext(f.name) {
	case ".hl7":
		raw = []byte(strings.ReplaceAll(strings.TrimSuffix(string(raw), "\r"), "\r", "\n") + "\n")
	case ".json":
		var b bytes.Buffer
		if json.Indent(&b, raw, "", " ") == nil {
			raw = append(b.Bytes(), '\n')
		}
	case ".txt":
	default:
		raw = fmt.Appendf(nil, "%d bytes, SHA-256 %x\n", len(raw), sha256.Sum256(raw))
	}
	raw = long.ReplaceAllFunc(raw, func(b []byte) []byte {
		return fmt.Appendf(nil, "(%d characters of base64, SHA-256 %.6x…)", len(b), sha256.Sum256(b))
	})
	raw = mapsDigest.ReplaceAll(raw, []byte("${1}<digest>"))
	return ports.ReplaceAll(raw, []byte("127.0.0.1:port"))
}

// mapsDigest is another with every edit of a shipped map.
var mapsDigest = regexp.MustCompile(`("urn:dermgate:maps",\s*"value": ")[0-9a-f]{64}`)

// fixture gives what fixtures/story should hold: what was sent, and what everybody received.
func (p *play) fixture() *txtar.Archive {
	a := &txtar.Archive{Comment: p.archive.Comment}
	for _, f := range p.archive.Files {
		if strings.HasPrefix(f.Name, "in/") {
			a.Files = append(a.Files, f)
		}
	}
	got := slices.Clone(p.got)
	slices.SortStableFunc(got, func(a, b received) int { return strings.Compare(a.name, b.name) })
	for _, f := range got {
		a.Files = append(a.Files, txtar.File{Name: f.name, Data: f.text()})
	}
	return a
}

// tableOf closes the story.
func tableOf(out io.Writer, all []*play) {
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CONVERSATION\tENDED\tIN\tOUT\tTASKS\tTOLD\tBY HAND\tTOOK\t")
	for _, p := range all {
		mark := ""
		if p.err != nil {
			mark = "NOT AS IT SHOULD"
		}
		fmt.Fprintf(w, "%s %s\t%s\t%d\t%d\t%d opened, %d closed\t%d\t%d\t%s\t%s\n", p.name[:2], p.title, strings.Join(p.told.last, ", "), p.in, len(p.got), p.told.opened, p.told.closed,
			p.told.notices, p.told.byHand, p.took.Round(10*time.Millisecond), mark)
	}
	w.Flush()
}
