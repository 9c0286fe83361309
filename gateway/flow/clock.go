package flow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// A case that stays too long where it is has somebody asked to act: first whom the state machine names, then who stands in
// for them, then every working day again. That changes no clinical state, and it is never silent: there is a task, a line in
// the story, an alarm, and where it is the provider who is late, a notice to the patient (N8).
//
// A suspected cancer has one more clock, from the day its referral came: 28 days until the patient knows (faster diagnosis
// standard), watched until somebody of the hospital's cancer tracking has taken it over by name.

// taskDiagnosis is the code of a task of the 28 days.
const taskDiagnosis = "diagnosis-due"

// clockNote says what a clock is for.
type clockNote struct {
	State  pathway.State `json:"state,omitempty"`
	Move   int           `json:"move,omitempty"`
	Step   int           `json:"step,omitempty"`   // how many were asked before: it rings while the case has not moved on
	Since  time.Time     `json:"since,omitzero"`   // of Step: when the clock of the state began
	Task   string        `json:"task,omitempty"`   // id of a task: it rings while that is open, whatever the state
	Ref    string        `json:"ref,omitempty"`    // of a message that goes home: it rings while no word of it has come
	Notice string        `json:"notice,omitempty"` // reference of a notice: it rings while nothing shows that it was read
	Watch  int           `json:"watch,omitempty"`  // of the 28 days: 1 warns, 2 says that they are over, more remind
}

// calendar counts working days as the site does.
func (p *Pipeline) calendar() pathway.Calendar {
	c := p.Site.Calendar
	c.Zone = cmp.Or(c.Zone, p.Site.Zone)
	return c
}

// after gives the end of a span that begins now.
func (d *decision) after(s pathway.Span) time.Time { return d.p.calendar().After(d.at, s) }

// clock winds the clock of the state the case is in now.
func (d *decision) clock() error {
	due, ok := d.p.Timers.Due(d.c, d.p.calendar())
	if !ok {
		return nil
	}
	return d.wind(clockNote{State: d.c.State, Move: d.c.Moves}, due, "clock", string(d.c.State), strconv.Itoa(d.c.Moves))
}

// wind sets a clock; parts name it.
func (d *decision) wind(n clockNote, due time.Time, parts ...string) error {
	id := d.derive(parts...)
	note, err := json.Marshal(n)
	if err != nil {
		return err
	}
	d.out = append(d.out, Delivery{ID: id, Case: d.id(), Message: d.why, To: ToClock, Lane: id.String(), Class: class(d.c.Urgency),
		Key: id.String(), What: "clock", Note: string(note), State: Waiting, Due: due, Created: d.at})
	return nil
}

// Clock is the internal destination ToClock: it rings when a case has stayed too long in a state. It opens
// a task for who owns the state and tells them; it never changes a clinical state.
type Clock struct{ P *Pipeline }

// Deliver rings one clock; one of a state that the case has left is void.
func (k Clock) Deliver(ctx context.Context, del Delivery, _ func(Step) error) (Outcome, error) {
	var note clockNote
	if err := json.Unmarshal([]byte(del.Note), &note); err != nil {
		return Outcome{Result: Refused, Cause: issue.New(issue.Internal, "clock", "unreadable note").Because(err)}, nil
	}
	for {
		err := k.P.ring(ctx, del, note)
		if errors.Is(err, ErrStale) {
			continue
		}
		return Outcome{Result: Delivered}, err
	}
}

func (p *Pipeline) ring(ctx context.Context, del Delivery, note clockNote) error {
	record, err := p.Store.Case(ctx, del.Case)
	if err != nil {
		return err
	}
	d, err := p.read(record)
	if err != nil {
		return err
	}
	d.why, d.kept = del.Message, true
	rang := true
	switch {
	case note.Watch > 0:
		rang, err = d.ringWatch(note.Watch)
	case note.State != "":
		rang, err = d.ringState(ctx, note)
	default:
		rang = d.rings(note)
	}
	if err != nil || !rang {
		return err
	}
	change, err := d.change(ctx, d.c.Moves)
	if err != nil {
		return err
	}
	change.Applied = del.ID.String()
	if _, err = p.Store.Put(ctx, change); err == nil {
		p.wake(change)
	}
	return err
}

// rings does what the clock of a message, a notice or a task is for; false when that has come about meanwhile.
func (d *decision) rings(note clockNote) bool {
	switch {
	case note.Ref != "":
		return d.silent(note.Ref)
	case note.Notice != "":
		return d.untold(note.Notice)
	}
	return note.Task != "" && d.ringHeld(note.Task)
}

// ringState does what the clock of a state is for; false when the case has left it, or somebody was asked already.
func (d *decision) ringState(ctx context.Context, note clockNote) (bool, error) {
	switch {
	case note.Step == 0 && (d.c.State != note.State || d.c.Moves != note.Move):
		return false, nil
	case note.Step > 0 && (!d.p.Machines[d.c.Kind].Together(d.c.State, note.State) || !d.c.Clock().Equal(note.Since)):
		return false, nil
	case d.c.State == pathway.Submitted && d.c.Task(signInTask) != nil: // that task has a clock of its own
		return true, nil
	case note.Step < d.c.Asked: // the same limit by another clock: a priority was raised meanwhile
		return false, nil
	}
	return true, d.overdue(ctx, note.Step)
}

// overdue asks the next who must act, and winds the clock for whoever stands in for them.
func (d *decision) overdue(ctx context.Context, step int) error {
	state, steps := d.c.State, d.p.steps(d.c)
	d.c.Asked = step + 1
	if step == 0 {
		if err := d.breach(ctx); err != nil {
			return err
		}
	}
	who := steps[min(step, len(steps)-1)]
	for _, owner := range who {
		if step < len(steps) {
			d.c.AddTask(pathway.Task{Code: pathway.TaskOverdue, Owner: owner, Why: overdueWhy(state, step), Opened: d.at, Due: d.after(d.escalation())})
		}
		d.tell("overdue", string(state)+": "+owner+" is asked to act", "")
	}
	if !d.digested() {
		d.p.alarm("overdue", "case "+d.c.ID+": "+string(state)+": "+strings.Join(who, ", ")+" asked to act"+again(step, len(steps)))
	}
	next := d.escalation()
	if step+1 >= len(steps) {
		next = pathway.Span{Days: 1}
	}
	return d.wind(clockNote{State: state, Step: step + 1, Since: d.c.Clock()}, d.after(next), "clock", string(state),
		d.c.Clock().UTC().Format(time.RFC3339Nano), "step", strconv.Itoa(step+1))
}

func overdueWhy(state pathway.State, step int) string {
	if step > 0 {
		return "no step since the limit of " + string(state) + ", and whoever was asked has not acted"
	}
	return "no step since the limit of " + string(state)
}

func again(step, steps int) string {
	switch {
	case step >= steps:
		return " once more"
	case step > 0:
		return ": who was asked before has not"
	}
	return ""
}

// breach makes the move that the state machine has for a limit that is over, which leaves the state as it is, and owes the
// patient a word where they wait for the provider.
func (d *decision) breach(ctx context.Context) error {
	for _, e := range []pathway.Event{pathway.TimerBreach, pathway.UnreadBreach} {
		if _, ok := d.p.Machines[d.c.Kind].Find(d.c.State, e); ok {
			if _, err := d.fire(ctx, e); err != nil {
				return err
			}
		}
	}
	switch d.c.State {
	case pathway.AwaitingProvider, pathway.AwaitingTriage, pathway.InTriage, pathway.ProviderToAction:
		if d.p.Machines.OweLate(d.c, d.at) {
			return d.notices(ctx)
		}
	}
	return nil
}

// escalation is how long somebody has before the next is asked.
func (d *decision) escalation() pathway.Span {
	if d.c.Suspected() || d.c.State == pathway.Responded && d.c.ReadSoon() {
		return d.p.limit("escalate_suspected")
	}
	return d.p.limit("escalate")
}

// limit gives a configured span; those of the pathway where nothing is.
func (p *Pipeline) limit(name string) pathway.Span {
	if s, ok := p.Timers[name]; ok {
		return s
	}
	return pathway.DefaultTimers()[name]
}

// digested tells a case whose lateness its owner is told of once a day, together with all others of its kind: an answer that
// nobody has read, and that need not be read the same day.
func (d *decision) digested() bool {
	return d.c.State == pathway.Responded && !d.c.ReadSoon()
}

// steps gives who is asked when a case stays too long in its state, one step after another: whom the state machine names,
// then their deputies, and where a role has none the practice, or operations, who see to it that somebody acts.
func (p *Pipeline) steps(c *pathway.Case) [][]string {
	var steps [][]string
	asked := map[string]bool{}
	add := func(names ...string) {
		names = slices.DeleteFunc(names, func(n string) bool { known := n == "" || asked[n]; asked[n] = true; return known })
		if len(names) > 0 {
			steps = append(steps, names)
		}
	}
	var deputies []string
	for _, roles := range p.Machines[c.Kind].Escalation(c.State) {
		var names []string
		for _, role := range roles {
			names = append(names, p.filled(c, role))
			deputies = append(deputies, p.deputy(c, role))
		}
		add(names...)
	}
	add(deputies...)
	if len(steps) < 2 {
		add(p.Owners.Operations)
	}
	if len(steps) == 0 {
		add("operations")
	}
	return steps
}

// filled names who has a role of the state machine in a case.
func (p *Pipeline) filled(c *pathway.Case, role string) string {
	switch role {
	case pathway.RoleProvider:
		return p.Owners.Provider
	case pathway.RoleOperations:
		return p.Owners.Operations
	case pathway.RoleRequester:
		return p.requester(c)
	}
	return c.Request.Organisation
}

// requester names who is asked about a request: the named clinician, or their practice where the site says so or nobody is
// named.
func (p *Pipeline) requester(c *pathway.Case) string {
	if p.Owners.Practice {
		return cmp.Or(c.Request.Organisation, c.Request.Requester)
	}
	return cmp.Or(c.Request.Requester, c.Request.Organisation)
}

func (p *Pipeline) deputy(c *pathway.Case, role string) string {
	switch role {
	case pathway.RoleProvider:
		return p.Owners.Deputy
	case pathway.RoleOperations:
		return p.Owners.OperationsDeputy
	}
	return c.Request.Organisation
}

// watch begins the 28 days of a suspected cancer: with the day on which its referral came, or was made urgent.
func (d *decision) watch() error {
	if d.c.Kind != pathway.Referral || !d.c.Suspected() || !d.c.Watched.IsZero() {
		return nil
	}
	d.c.Watched = d.at
	if !d.received28.IsZero() && d.received28.Before(d.at) {
		d.c.Watched = d.received28
	}
	return d.wind(clockNote{Watch: 1}, d.p.calendar().After(d.c.Watched, d.p.limit("diagnosis_warning")), "clock", "diagnosis", "1")
}

// ringWatch tells that the 28 days are running out, or are over; false when nobody here watches them any more.
func (d *decision) ringWatch(n int) (bool, error) {
	ended := d.p.Machines[d.c.Kind].Ended(d.c.State)
	if d.c.Tracked != "" || ended && d.c.Outcome.Code != straightToTest {
		return false, nil
	}
	over := d.p.calendar().After(d.c.Watched, d.p.limit("diagnosis"))
	owner, why, next := d.p.Owners.Provider, "the 28 days of a suspected cancer are running out: the patient must know, or cancer tracking take over", over
	if n > 1 {
		owner = cmp.Or(d.p.Owners.Deputy, d.p.Owners.Operations)
		why, next = "the 28 days of a suspected cancer are over, and cancer tracking has not taken over", d.after(pathway.Span{Days: 1})
	}
	d.c.AddTask(pathway.Task{Code: taskDiagnosis, Owner: owner, Why: why, Opened: d.at, Due: next})
	d.tell("overdue", owner+" is asked to act: "+why, "")
	d.p.alarm(taskDiagnosis, "case "+d.c.ID+": "+why)
	return true, d.wind(clockNote{Watch: n + 1}, next, "clock", "diagnosis", strconv.Itoa(n+1))
}

// straightToTest is the triage outcome after which a case ends while its patient is still being diagnosed.
const straightToTest = "STRAIGHT_TO_TEST"

// tracked records that the hospital's cancer tracking has taken over the 28 days: by name, at a time.
func (d *decision) tracked(f Facts) error {
	if f.Outcome.Person == "" {
		return issue.New(issue.Required, "Task.owner", "whoever takes over the 28 days is named")
	}
	d.c.Tracked, d.c.TrackedAt = f.Outcome.Person, d.at
	d.c.FinishTasks(taskDiagnosis, f.Outcome.Person, d.at)
	d.tell("act", "cancer tracking has taken over the 28-day clock", "")
	return nil
}
