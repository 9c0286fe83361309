package pathway

// Acts by which a person moved a case on by hand, beyond asking and answering.
const (
	ActRelease  = "release"  // let a held request, its photos or a merged record's case go
	ActSignIn   = "sign-in"  // signed in for e-RS
	ActTold     = "told"     // said that the patient was told
	ActWaive    = "waive"    // waived a notice
	ActTell     = "tell"     // released a notice, or wrote one
	ActReceived = "received" // said that who asked has the news
)

// Did counts an act of a person.
func (c *Case) Did(act string) {
	if c.Acts == nil {
		c.Acts = map[string]int{}
	}
	c.Acts[act]++
	c.Manual++
}

// Work is what a case cost people beyond asking and answering: what they did by hand, and what they are asked to do and have
// not done yet. Reading an answer and deciding on it is no such work; a task that the machine itself ended is none either.
type Work struct {
	Acts  map[string]int `json:"acts,omitempty"`  // how often, by Act…
	Tasks map[string]int `json:"tasks,omitempty"` // open ones, by code
	Total int            `json:"total"`
}

// Work counts it.
func (c *Case) Work() Work {
	w := Work{Acts: c.Acts, Total: c.Manual}
	for _, t := range c.Tasks {
		if !t.Done.IsZero() {
			continue
		}
		if w.Tasks == nil {
			w.Tasks = map[string]int{}
		}
		w.Tasks[t.Code]++
		w.Total++
	}
	return w
}
