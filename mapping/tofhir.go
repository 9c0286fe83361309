package mapping

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// ToFHIR translates a message into its canonical Bundle. The error is for a message that no map takes, an
// *issue.Issue of kind UnsupportedType or UnsupportedEvent, and for one about two patients, of kind Structure; what
// else is wrong inside a message is in Result.Issues. An error that is an *image.ReadError: one of Options.Payloads could not be read. The result
// aliases nothing of m but the bytes of files sent without encoding.
func (s *Set) ToFHIR(m *hl7.Message, o Options) (*Result, error) {
	if o.Sender != "" {
		own, ok := s.senders[o.Sender]
		if !ok {
			return nil, fmt.Errorf("the map set has no overlay senders/%s.yaml", o.Sender)
		}
		s = own
	}
	msg, err := s.messageFor(m)
	if err != nil {
		return nil, err
	}
	if err := m.AssumeCharset(o.Charset); o.Charset != "" && err != nil {
		return nil, err
	}
	r, _ := s.runs.Get().(*run)
	if r == nil {
		r = &run{tree: fhir.NewTree()}
	}
	r.set = s
	r.begin(m, &o)
	r.snapshot = msg.snapshots(m)
	if r.bundle, err = fhir.NewBundle(r.tree, "message"); err != nil {
		return nil, err
	}
	r.issues = append(r.issues, m.CheckCharset()...)
	if err := msg.meets(r); err != nil {
		return nil, err
	}
	for n, g := range msg.groups {
		r.firsts = append(r.firsts, len(r.instances))
		if g.typ == "Bundle" {
			sc := r.scope(&r.bare)
			sc.el, sc.resource = r.bundle.Root, r.bundle.Root
			g.fill(r, sc)
			r.o.Ran.note(g.at)
			r.done(sc)
			continue
		}
		g.run(r, n)
	}
	msg.link(r)
	for i := range r.made {
		r.instances = append(r.instances, r.made[i].instance)
	}
	for r.settle(); r.undone(msg); r.settle() { // one that goes may leave another without what it needs
	}
	if r.unread != nil {
		return nil, r.unread
	}
	res := &Result{Bundle: r.bundle, Issues: r.issues, Files: r.files, Profile: r.declare(msg), run: r}
	r.account(msg, res)
	return res, nil
}

// Release gives the memory of the Bundle back for the next message. Nothing of the result may be used
// afterwards; not calling it costs only that memory.
func (r *Result) Release() {
	if r.run == nil {
		return
	}
	set, run := r.run.set, r.run
	*r = Result{}
	run.reset()
	set.runs.Put(run)
}

// messageFor finds the map of a message by its event.
func (s *Set) messageFor(m *hl7.Message) (*message, error) {
	code, trigger, structure := m.Type()
	if trigger == "" && len(structure) == 7 {
		trigger = structure[4:]
	}
	if msg, ok := s.events[code+"^"+trigger]; ok {
		return msg, nil
	}
	if msg, ok := s.events[code]; ok { // whatever its trigger
		return msg, nil
	}
	if s.codes[code] {
		return nil, issue.New(issue.UnsupportedEvent, "MSH-9.2", "no map for this trigger event")
	}
	return nil, issue.New(issue.UnsupportedType, "MSH-9.1", "no map for this message type")
}

// declare writes into every resource that meets it the UK Core profile of its type. It gives what keeps the others
// from it, when asked to.
func (r *run) declare(m *message) (found issue.List) {
	r.bundle.Root.Declare()
	r.declared(r.bundle.Root)
	for _, in := range r.instances {
		switch {
		case in.alias:
		case in.el.Declare():
			r.declared(in.el)
		case r.o.Profile:
			found = append(found, r.undeclared(m, in)...)
		}
	}
	return found
}

// undeclared tells what keeps a resource from its profile, at the segment it was made of.
func (r *run) undeclared(m *message, in instance) (found issue.List) {
	p := in.el.Type().Profile()
	if p == nil {
		return nil
	}
	inside := in.el.Path() + "."
	for _, i := range p.Faults(in.el) {
		i.Text = in.el.Type().Name + "." + strings.TrimPrefix(i.Where, inside) + ": " + i.Text
		i.Where = m.origin(in)
		found = append(found, i)
	}
	return found
}

// origin names the segment that a resource was made of, of several the first.
func (m *message) origin(in instance) string {
	if in.seg.OK() || in.group == byReference {
		return in.seg.Path(0).String()
	}
	for _, p := range m.groups[in.group].maps {
		if p.segment {
			return p.src.from
		}
	}
	return ""
}

// name begins the names that ids are derived from.
func (r *run) name() {
	r.named = append(append(r.named[:0], "dermgate\x1f"...), r.o.Source...)
	r.named = append(append(append(r.named, 0x1f), r.m.ControlID()...), 0x1f)
}

// url derives the id of a resource (UUIDv5: RFC 9562 §5.5) from source, control id, map and position.
func (r *run) url(group string, occurrence, rep int) fhir.UUID {
	b := append(append(r.arena.scratch[:0], r.named...), group...)
	b = append(b, 0x1f)
	b = strconv.AppendInt(b, int64(occurrence), 10)
	b = strconv.AppendInt(append(b, '.'), int64(rep), 10)
	sum := sha1.Sum(b)
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	r.arena.scratch = b
	return fhir.MakeUUID([16]byte(sum[:16]), r.arena.room(uuidSize))
}

const uuidSize = len("urn:uuid:") + 36

// sha gives the SHA-256 of the message as received.
func (r *run) sha() string {
	if r.hash == "" {
		r.hash = r.o.SHA256
	}
	if r.hash == "" {
		sum := sha256.Sum256(r.m.Original())
		r.arena.scratch = hex.AppendEncode(r.arena.scratch[:0], sum[:])
		r.hash = r.arena.keep(r.arena.scratch)
	}
	return r.hash
}
