package mapping

import (
	"slices"
	"time"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// run is one translation into FHIR. Runs are pooled by their Set; what leaves in a Result is not reused
// until Release.
type run struct {
	set    *Set
	m      *hl7.Message
	o      Options
	zone   clock
	escape byte // MSH-2
	tree   *fhir.Tree
	bundle *fhir.Bundle

	layout    layout
	issues    issue.List
	body      string // copy of a short message, of which texts are pieces; "" for a long one
	odd       bitmap // its bytes that are not shown as they stand in HL7 or in JSON, see markOdd
	arena     arena
	pieces    hl7.Pieces
	used      bitmap     // bytes that rules have carried over
	instances []instance // in the order of groups
	firsts    []int      // of each group in instances
	made      []made     // resources that rules refer to
	saids     []said
	waiting   []waiting
	outer     fhir.Element // what the element removed last stood in
	payloads  []payload
	looked    []int32 // by segment, see file
	files     []File
	unread    error          // a file could not be read: nothing is known of it
	parts     []uint32       // where the parts end of values that data type maps are on
	slots     []fhir.Element // of the map invocations under way
	bare      scope          // knows the run and nothing else
	scopes    []*scope       // to use again
	lines     []byte         // scratch of joined
	named     []byte         // source and control id, which the names of all resources begin with
	writes    int            // elements written so far
	unsure    bool           // the last time converted is ambiguous
	lastTime  again          // of dateTimeText
	unlisted  again          // of a coding system that the table does not have
	snapshot  bool           // `""` deletes, and stands in the message
	trace     *Trace
	marks     []traceMark
	sent      []sent
	hash      string // SHA-256 of the message, hex; made when asked for

	kind, urgency source1
}

// scope is where a map is being run: into FHIR on a segment, a repetition of one of its fields or a value
// inside; out of FHIR on an element.
type scope struct {
	run      *run
	seg      hl7.Segment // of a segment map, or that of the FROM a condition is asked of; zero outside
	home     hl7.Segment // of the map, where seg is another one
	away     bool        // seg is another one than the map's
	field    int         // number of the field that value is a repetition of, 0 when on the whole segment
	value    hl7.Value
	path     hl7.Path       // of value
	deep     bool           // value is a component: a data type's components are its sub-components
	parts    hl7.Parts      // of value, inside a data type map
	in       input          // what a rule is about to write
	fresh    bool           // el is empty but for what this run of the map writes
	told     bool           // the choices of the rule's condition are known to hold
	el       fhir.Element   // what is being filled
	resource fhir.Element   // that el is in
	slots    []fhir.Element // elements this invocation has made, by step

	out  *writing     // out of FHIR
	node fhir.Element // what is read
	at   spot         // where a data type map writes
}

// bodyLimit is how long a message may be, in bytes, to be copied as a whole. A longer one carries files.
const bodyLimit = 16 << 10

// begin makes the run ready for a message.
func (r *run) begin(m *hl7.Message, o *Options) {
	r.m, r.o = m, *o
	r.escape = m.Delimiters().Escape
	zone := o.Zone
	if zone == nil {
		zone = time.UTC
	}
	if r.zone.zone != zone {
		r.zone = clock{zone: zone}
	}
	r.pieces.Reset(m)
	r.layout.begin(m)
	r.looked = slices.Grow(r.looked[:0], len(r.layout.names))[:len(r.layout.names)]
	clear(r.looked)
	raw := m.Bytes()
	r.used = r.used.fresh(len(raw))
	if len(raw) <= bodyLimit {
		r.arena.open(len(raw))
		r.body = r.arena.keep(raw)
		r.markOdd(raw)
	} else {
		r.odd = r.odd[:0]
	}
	if o.Trace {
		r.watch()
	}
	r.name()
	r.bare.run = r
	r.kind, r.urgency = o.Kind.find(r), o.Urgency.find(r)
}

// reset forgets the message and keeps the memory.
func (r *run) reset() {
	r.pieces.Reset(nil)
	r.layout.m, r.layout.owners = nil, nil
	clear(r.instances)
	clear(r.marks)
	clear(r.sent)
	r.marks, r.sent = r.marks[:0], r.sent[:0]
	clear(r.payloads)
	clear(r.made)
	clear(r.saids)
	clear(r.waiting)
	r.waiting = r.waiting[:0]
	clear(r.slots[:cap(r.slots)])
	r.instances, r.made, r.saids, r.payloads, r.slots, r.firsts = r.instances[:0], r.made[:0], r.saids[:0], r.payloads[:0], r.slots[:0], r.firsts[:0]
	r.arena.close(len(r.body))
	r.lastTime, r.unlisted = again{}, again{}
	r.m, r.o, r.issues, r.files, r.unread, r.trace, r.hash, r.body, r.writes = nil, Options{}, nil, nil, nil, nil, "", "", 0
	r.tree.Reset()
}

// field gives field n of a segment.
func (r *run) field(s hl7.Segment, n int) hl7.Value { return r.pieces.Field(s.Index(), n) }

// repetition gives a repetition of a field, the first for 0.
func (r *run) repetition(s hl7.Segment, field, rep int) hl7.Value {
	if rep > 1 {
		return r.pieces.Field(s.Index(), field).Repetition(rep)
	}
	return r.pieces.First(s.Index(), field)
}

// repetitions counts those of a field.
func (r *run) repetitions(s hl7.Segment, field int) int {
	all := r.pieces.Field(s.Index(), field)
	if n := all.Size(); n > 0 && n == r.pieces.First(s.Index(), field).Size() { // as mostly
		return 1
	}
	return all.Repetitions()
}

// use notes that a value has been carried over.
func (r *run) use(v hl7.Value) {
	if n := v.Size(); n > 0 {
		r.used.set(v.Offset(), n)
	}
}

// relative gives the segment of a name that a scope sees first.
func (r *run) relative(here hl7.Segment, name segName) hl7.Segment {
	return r.m.Segment(r.layout.relative(index(here), r.layout.row(name)))
}

// after gives the first segment of a name after a place in the message.
func (r *run) after(name segName, i int) hl7.Segment {
	return r.m.Segment(r.layout.next(r.layout.row(name), i+1))
}

// on tells whether the scope's segment has a name.
func (s *scope) on(name segName) bool { return s.run.layout.is(index(s.seg), s.run.layout.row(name)) }

// index gives the place of a segment in its message, -1 for none.
func index(s hl7.Segment) int {
	if !s.OK() {
		return -1
	}
	return s.Index()
}

// owners names the segments that one belongs to, the innermost first.
func (r *run) owners(s hl7.Segment) []string {
	var out []string
	for i := r.layout.owners[s.Index()]; i >= 0; i = r.layout.owners[i] {
		out = append(out, r.m.Segment(int(i)).Name())
	}
	return out
}

// following gives the segments a scope sees under a name one after another; started is false for the first.
func (r *run) following(here hl7.Segment, name segName, last hl7.Segment, started bool) hl7.Segment {
	if !started {
		return r.relative(here, name)
	}
	return r.m.Segment(r.layout.following(index(here), r.layout.row(name), last.Index()))
}
