package mapping

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// source is one map file as written: nothing of it is checked against HL7 or FHIR yet.
type source struct {
	file     string
	name     text   // "PID[Patient]", "REF_I12"
	from, to string // of the name: "PID" and "Patient"; to is empty for a message into FHIR
	each     text   // of a segment map: the field whose current repetition it is about
	extend   bool   // adds to the shipped map of this name, its rules tried first

	rules    []srcRule
	checks   []srcCheck
	ignore   []srcIgnore
	events   []text // "REF^I12"
	snapshot []text // of them, those in which `""` deletes
	expect   []srcExpect
	groups   []srcGroup // of a message into FHIR
	segments []srcGroup // of a message into HL7
	early    []text     // of a message into HL7: fields sent in versions that lack them
	tables   []*srcTable
}

// srcRule is FROM -> TO: HOW and what goes with it.
type srcRule struct {
	from, to, how text
	when, missing text
	orElse        []text // out of FHIR: places in versions that lack to
	set           [][2]text
	once          bool
}

// srcCheck is a condition that means trouble.
type srcCheck struct{ place, text, when, severity, kind text }

// srcIgnore is a place left out, and why.
type srcIgnore struct{ place, reason text }

// srcExpect is how often a segment may stand in a message: "1", "0..1", "1..*".
type srcExpect struct{ segment, count text }

// srcGroup is a group of resources (or of segments) and the maps that fill each of them.
type srcGroup struct {
	name, typ        text // photos, Media; of a segment: PRD
	maps             []text
	each, where, key text
	split, once      text
	segments         []srcGroup // of a segment: those that follow it
	received         []text     // fields that come home as the request had them; the segment's name: all of it
	link             []srcLink
	set              [][2]text
}

// srcLink fills a reference with other groups.
type srcLink struct {
	element text
	groups  []text
}

// srcTable is a table as written.
type srcTable struct {
	name      text
	system    text // of the codes translated to
	codes     [][2]text
	otherwise text
	quiet     bool // an unlisted code is no trouble
	extend    bool
}

// segmentForm is how a segment is listed.
const segmentForm = "SEG: Resource[SEG], …"

var mapName = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_]*(?:\.[a-z][A-Za-z]*)?)(?:\[([A-Za-z][A-Za-z0-9_]*)(?:-[A-Za-z]+)?\])?$`)

// read takes one file apart.
func (r *reader) read(b []byte) *source {
	s := &source{file: r.file}
	var table srcTable
	pairs := r.parse(b)
	if len(pairs) == 0 {
		return s // told already
	}
	for _, p := range pairs {
		switch p.key.s {
		case "extend":
			if t, ok := r.scalar(p.value); ok && t.s != "true" {
				r.faults.add(t.at, "extend: true, or nothing")
			}
			s.extend, table.extend = true, true
		case "table", "system", "codes", "otherwise", "unlisted":
			r.tableKey(&table, p)
		default:
			r.mapKey(s, p)
		}
	}
	if table.name.s != "" {
		s.name, s.tables = table.name, []*srcTable{&table}
	}
	r.named(s)
	return s
}

// mapKey reads a key of a map.
func (r *reader) mapKey(s *source, p pair) {
	switch p.key.s {
	case "map":
		r.name(s, p.value)
	case "each":
		s.each, _ = r.scalar(p.value)
	case "for":
		s.events = r.texts(p.value)
	case "snapshot":
		s.snapshot = r.texts(p.value)
	case "rules":
		s.rules = each(r, p.value, "FROM -> TO: HOW", (*reader).rule)
	case "checks":
		s.checks = each(r, p.value, "PLACE: what is wrong", (*reader).check)
	case "ignore":
		s.ignore = each(r, p.value, "PLACE: why it is left out", (*reader).ignored)
	case "expect":
		for _, e := range r.pairs(p.value) {
			if t, ok := r.scalar(e.value); ok {
				s.expect = append(s.expect, srcExpect{e.key, t})
			}
		}
	case "resources":
		s.groups = each(r, p.value, "NAME: Resource <- MAP[Resource], …", (*reader).resource)
	case "early":
		s.early = r.texts(p.value)
	case "segments":
		s.segments = each(r, p.value, segmentForm, (*reader).segment)
	case "sender":
		r.faults.add(p.key.at, "what one sender does differently lies in the folder senders")
	default:
		r.unknown(p.key, fileKeys)
	}
}

// named holds a file to its name: the map PID[Patient] is the file PID[Patient].yaml.
func (r *reader) named(s *source) {
	want := strings.TrimSuffix(path.Base(r.file), ".yaml")
	switch {
	case s.name.s == "":
		if !r.faults.has(r.file, r.layer) {
			r.faults.add(r.pos(1, 1), "a map file begins with map: or table:")
		}
	case s.name.s != want:
		r.faults.add(s.name.at, "the file %s.yaml holds %s", want, s.name.s)
	}
}

func (r *reader) name(s *source, n ast.Node) {
	t, ok := r.scalar(n)
	if !ok {
		return
	}
	m := mapName.FindStringSubmatch(t.s)
	if m == nil {
		r.faults.add(t.at, "a map is named FROM[TO] or FROM[TO-Variant], such as PID[Patient], or for its message, such as REF_I12")
		return
	}
	s.name, s.from, s.to = t, m[1], m[2]
}

// each reads the items of a list, whose form is want.
func each[T any](r *reader, n ast.Node, want string, f func(*reader, []pair) (T, bool)) []T {
	var out []T
	for _, item := range r.items(n) {
		if s, ok := item.(ast.ScalarNode); ok && item.Type() != ast.NullType {
			r.faults.add(r.at(s), "want %s", want)
			continue
		}
		pairs := r.pairs(item)
		if len(pairs) == 0 {
			continue
		}
		if v, ok := f(r, pairs); ok {
			out = append(out, v)
		}
	}
	return out
}

// rule reads "FROM -> TO: HOW" and the keys under it.
func (r *reader) rule(pairs []pair) (srcRule, bool) {
	var out srcRule
	left, right, ok := arrow(pairs[0].key, "->")
	if !ok {
		why := "want FROM -> TO: HOW"
		if key := pairs[0].key.s; slices.Contains(namesOf(ruleKeys), key) {
			why = key + ": belongs to the rule above: no dash, and as far in as the rule's first letter"
		}
		r.faults.add(pairs[0].key.at, "%s", why)
		return out, false
	}
	out.from, out.to = left, right
	if out.how, ok = r.scalar(pairs[0].value); !ok {
		return out, false
	}
	r.keys(pairs[1:], ruleKeys, map[string]*text{"when": &out.when, "missing": &out.missing}, func(p pair) bool {
		switch p.key.s {
		case "else":
			out.orElse = r.texts(p.value)
		case "set":
			out.set = r.constants(p.value)
		case "once":
			t, _ := r.scalar(p.value)
			if out.once = t.s == "true"; !out.once {
				r.faults.add(t.at, "once: true, or nothing")
			}
		default:
			return false
		}
		return true
	})
	return out, true
}

// keys reads what stands under the first line of an item: texts by their key, and what read takes; any other key is a
// fault.
func (r *reader) keys(pairs []pair, known []named, to map[string]*text, read func(pair) bool) {
	for _, p := range pairs {
		if t, ok := to[p.key.s]; ok {
			*t, _ = r.scalar(p.value)
		} else if read == nil || !read(p) {
			r.unknown(p.key, known)
		}
	}
}

func (r *reader) constants(n ast.Node) [][2]text {
	var out [][2]text
	for _, p := range r.pairs(n) {
		if v, ok := r.scalar(p.value); ok {
			out = append(out, [2]text{p.key, v})
		}
	}
	return out
}

// arrow splits "A -> B" and keeps both places.
func arrow(t text, sign string) (left, right text, ok bool) {
	i := strings.LastIndex(t.s, sign)
	if i < 0 {
		return left, right, false
	}
	l, rest := strings.TrimRight(t.s[:i], " "), t.s[i+len(sign):]
	b := strings.TrimLeft(rest, " ")
	return text{l, t.at}, text{b, t.at.plus(i + len(sign) + len(rest) - len(b))}, l != "" && b != ""
}

// check reads "PLACE: what is wrong" and its condition.
func (r *reader) check(pairs []pair) (srcCheck, bool) {
	out := srcCheck{place: pairs[0].key}
	var ok bool
	if out.text, ok = r.scalar(pairs[0].value); !ok {
		return out, false
	}
	r.keys(pairs[1:], checkKeys, map[string]*text{"when": &out.when, "severity": &out.severity, "kind": &out.kind}, nil)
	if out.when.s == "" {
		r.faults.add(out.place.at, "a check needs when: the condition that means trouble")
	}
	return out, true
}

func (r *reader) ignored(pairs []pair) (srcIgnore, bool) {
	reason, ok := r.scalar(pairs[0].value)
	if strings.TrimSpace(reason.s) == "" {
		r.faults.add(pairs[0].key.at, "an ignored place needs its reason")
		ok = false
	}
	for _, p := range pairs[1:] {
		r.unknown(p.key, nil)
	}
	return srcIgnore{pairs[0].key, reason}, ok
}
