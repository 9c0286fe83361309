package pathway

import (
	"fmt"
	"slices"
	"time"
)

// Urgency by the e-RS priority codes. Empty: the request did not say, and nobody guesses.
const (
	Routine     = "ROUTINE"
	Urgent      = "URGENT"
	TwoWeekWait = "TWO_WEEK_WAIT" // urgent suspected cancer
)

// Case is one request and all that became of it. It is kept as JSON; it holds identifiers and codes, no
// clinical text and no demographics (those stay in the messages).
type Case struct {
	ID         string    `json:"id"`
	Kind       Kind      `json:"kind"`
	State      State     `json:"state"`
	Urgency    string    `json:"urgency,omitempty"`
	Conversion string    `json:"conversion,omitempty"` // AUTHORISED_TO_CONVERT | NOT_AUTHORISED_TO_CONVERT | ""
	Opened     time.Time `json:"opened"`
	Entered    time.Time `json:"entered"` // when State was entered
	// Since is when the clock of the state began, which may run through several states; zero: Entered.
	Since time.Time `json:"since,omitzero"`
	// Asked is how many of those who must act in turn were asked since then.
	Asked   int     `json:"asked,omitempty"`
	Moves   int     `json:"moves"` // transitions made; a timer of an older count is void
	Request Request `json:"request"`
	// Stopped says why nothing leaves the case until a person has decided: "merge". Empty: it goes on.
	Stopped string `json:"stopped,omitempty"`
	// Died: the patient's record says so. No message goes to them.
	Died bool `json:"died,omitempty"`
	// Needs are codes of what the patient needs of who writes to them, and of what would be unsafe: Need….
	Needs []string `json:"needs,omitempty"`
	// Facts the channels gave: "ubrn", "ers-request-id", …
	Channel map[string]string `json:"channel,omitempty"`
	// Mirror is what the channel itself last said (e-RS code): observed, never blocked.
	Mirror  string   `json:"mirror,omitempty"`
	Outcome Outcome  `json:"outcome,omitzero"`
	Answers []string `json:"answers,omitempty"` // messages that answered, oldest first
	Photos  []Photo  `json:"photos,omitempty"`
	// Additions are the messages that brought further files of the request, oldest first.
	Additions []string `json:"additions,omitempty"`
	// Due is by when the channel says that the provider acts on what has just come; zero where it does not say.
	Due time.Time `json:"due,omitzero"`
	// Fitting are the deliveries that make photos fit a destination: what else is to be done in the case waits for them.
	Fitting []string `json:"fitting,omitempty"`
	// Sent names the destinations that have the request; PhotosDue that released photos must follow it.
	Sent      []string `json:"sent,omitempty"`
	PhotosDue bool     `json:"photosDue,omitempty"`
	// Letters are the documents that told an answer to advice, by destination: what an amended answer replaces.
	Letters map[string]string `json:"letters,omitempty"`
	// Homewards are the messages to who asked of which their channel says later whether they got there.
	Homewards []Homeward `json:"homewards,omitempty"`
	// Introduced are the destinations that are told who the patient is before anything else; Recorded those that took it.
	Introduced []string `json:"introduced,omitempty"`
	Recorded   []string `json:"recorded,omitempty"`

	// Filed are the photos that went out as documents of their own: "destination media".
	Filed       []string     `json:"filed,omitempty"`
	Obligations []Obligation `json:"obligations,omitempty"`
	Tasks       []Task       `json:"tasks,omitempty"`
	// From is the case that this one goes on from; Next is where one goes on that was amended after its end, Became the referral
	// that advice was converted to, and Referral the one that its requester made after "I will refer", or who says so.
	From     string `json:"from,omitempty"`
	Next     string `json:"next,omitempty"`
	Became   string `json:"became,omitempty"`
	Referral string `json:"referral,omitempty"`
	// SignedIn is when a user has signed in for it: what is sent to a destination that takes things from users alone goes as
	// them, while their sign-in is held in memory.
	SignedIn time.Time `json:"signedIn,omitzero"`
	// Agreed is who of the referrer's agreed that the provider lowers the priority.
	Agreed string `json:"agreed,omitempty"`
	// Manual counts the steps that somebody had to take by hand, Acts by what they did.
	Manual int            `json:"manual,omitempty"`
	Acts   map[string]int `json:"acts,omitempty"`
	// Referral status words of the last transition that set them.
	ServiceRequest string `json:"serviceRequest,omitempty"`
	TaskStatus     string `json:"taskStatus,omitempty"`
	Business       string `json:"business,omitempty"`
	// Watched is when the 28 days of a suspected cancer began, Tracked who took that clock over, and TrackedAt when.
	Watched   time.Time `json:"watched,omitzero"`
	Tracked   string    `json:"tracked,omitempty"`
	TrackedAt time.Time `json:"trackedAt,omitzero"`
}

// Request is who asked whom, by which identifiers.
type Request struct {
	Message      string  `json:"message"`             // id of the message that opened the case
	Source       string  `json:"source"`              // configured source it came by
	ControlID    string  `json:"controlId"`           // MSH-10 or Bundle.identifier
	Placer       string  `json:"placer,omitempty"`    // RF1-6 or the placer identifier
	Organisation string  `json:"organisation"`        // ODS code of who asked
	Performer    string  `json:"performer,omitempty"` // ODS code of who was asked
	Requester    string  `json:"requester,omitempty"` // professional identifier of the named requester
	Specialty    string  `json:"specialty,omitempty"`
	Patient      string  `json:"patient,omitempty"` // keyed hash of the NHS number
	Change       *Change `json:"change,omitempty"`  // what its requester last said of it
}

// Change is a change or withdrawal of a request by its requester.
type Change struct {
	Trigger   string `json:"trigger"`   // I13 or I14
	ControlID string `json:"controlId"` // MSH-10 or Bundle.identifier
}

// Outcome is what the specialist decided, by the e-RS codes, and what the requester made of it.
type Outcome struct {
	Code           string `json:"code,omitempty"`           // RETURN_TO_REFERRER_WITH_ADVICE, ACCEPT_REFER_BOOK_LATER, …
	Recommendation string `json:"recommendation,omitempty"` // REFERRAL_RECOMMENDED, …
	Priority       string `json:"priority,omitempty"`       // the priority the specialist gave
	Text           string `json:"text,omitempty"`           // hash of the answer's text: tells an amendment from a repeat
	Decision       string `json:"decision,omitempty"`       // of the requester: ManageInPrimaryCare, IWillRefer, AskedAgain
	Person         string `json:"person,omitempty"`         // who decided
}

// Decisions of a requester who has read an answer.
const (
	ManageInPrimaryCare = "manage-in-primary-care"
	IWillRefer          = "i-will-refer"
	AskedAgain          = "ask-again"
)

// ReferralRecommended is "please refer" (eRS-GuidanceIntendedRecommendation-1).
const ReferralRecommended = "REFERRAL_RECOMMENDED"

// Clock is when the clock of the state began.
func (c *Case) Clock() time.Time {
	if c.Since.IsZero() {
		return c.Entered
	}
	return c.Since
}

// Task is something a named person must do.
type Task struct {
	ID     string    `json:"id"`
	Code   string    `json:"code"` // "hold", "send-failed", "overdue", "unread", "tell-patient", "photo-consent", "profile", "nhs-number", "sign-in", "held"
	Owner  string    `json:"owner"`
	Why    string    `json:"why"` // place and rule, never a value
	Opened time.Time `json:"opened"`
	Due    time.Time `json:"due"`
	Done   time.Time `json:"done,omitzero"`
	By     string    `json:"by,omitempty"`
}

// TaskOverdue is the code of a task of somebody who must act since the limit of a state is over.
const TaskOverdue = "overdue"

// Suspected tells an urgent suspected cancer case.
func (c *Case) Suspected() bool { return c.Urgency == TwoWeekWait }

// ErrTransition says that an event means nothing in a case's state.
type ErrTransition struct {
	Kind  Kind
	From  State
	Event Event
}

func (e *ErrTransition) Error() string {
	return fmt.Sprintf("a %s case in %s does not know %q", e.Kind, e.From, e.Event)
}

// Fire moves the case by an event at a time. It gives the transition made; an *ErrTransition when the
// machine has none; an error when the transition ends the case while a notice is still owed (INV2).
func (ms Machines) Fire(c *Case, e Event, at time.Time) (Transition, error) {
	m := ms[c.Kind]
	t, ok := m.Find(c.State, e)
	if !ok {
		return Transition{}, &ErrTransition{c.Kind, c.State, e}
	}
	if m.Ended(t.To) && !c.Told() {
		return Transition{}, fmt.Errorf("%s: a notice is still owed to the patient", t.ID)
	}
	if t.To != c.State {
		c.Entered = at
	}
	if m.clocked(t.To) != m.clocked(t.From) || e == AnswerAmended { // which must be read again
		c.Since, c.Asked = at, 0
		c.FinishTasks(TaskOverdue, string(e), at) // whoever was asked to act need not any more
	}
	c.State = t.To
	c.Moves++
	c.ServiceRequest = keep(t.ServiceRequest, c.ServiceRequest)
	c.TaskStatus = keep(t.Task, c.TaskStatus)
	c.Business = keep(t.Business, c.Business)
	if n := t.NoticeID(); n != "" && n != onlyIfAsked {
		c.Owe(t.NoticeEvent(), at, m.Calendar)
	}
	return t, nil
}

// OweLate owes the patient a word that the provider is late, once while a case stays where it is (N8). It tells whether it
// is owed now.
func (ms Machines) OweLate(c *Case, at time.Time) bool {
	if slices.ContainsFunc(c.Obligations, func(o Obligation) bool { return o.Notice == "N8" && !o.Opened.Before(c.Clock()) }) {
		return false
	}
	c.Owe("N8-late", at, ms[c.Kind].Calendar)
	return true
}

// onlyIfAsked is the notice that is owed only when the patient must act (N2): whoever knows that opens it,
// the transition alone does not.
const onlyIfAsked = "N2"

func keep(now, before string) string {
	if now != "" && now != "as on entry" {
		return now
	}
	return before
}

// AddTask opens a task unless the same one is open already.
func (c *Case) AddTask(t Task) {
	for _, old := range c.Tasks {
		if old.Code == t.Code && old.Owner == t.Owner && old.Why == t.Why && old.Done.IsZero() {
			return
		}
	}
	t.ID = fmt.Sprintf("%s-task-%d", c.ID, len(c.Tasks)+1)
	c.Tasks = append(c.Tasks, t)
}

// FinishTasks closes the open tasks of a code.
func (c *Case) FinishTasks(code, by string, at time.Time) {
	c.FinishTask(code, func(Task) bool { return true }, by, at)
}

// FinishTask closes those open tasks of a code that is says.
func (c *Case) FinishTask(code string, is func(Task) bool, by string, at time.Time) {
	for i := range c.Tasks {
		if t := &c.Tasks[i]; t.Code == code && t.Done.IsZero() && is(*t) {
			t.Done, t.By = at, by
		}
	}
}

// Task gives the open task of a code, nil when there is none.
func (c *Case) Task(code string) *Task {
	for i := range c.Tasks {
		if t := &c.Tasks[i]; t.Code == code && t.Done.IsZero() {
			return t
		}
	}
	return nil
}

// Pending counts the tasks that are open.
func (c *Case) Pending() (n int) {
	for _, t := range c.Tasks {
		if t.Done.IsZero() {
			n++
		}
	}
	return n
}
