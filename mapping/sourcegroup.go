package mapping

import (
	"strings"
)

// resource reads "photos: Media <- OBX[Media]" and the keys under it.
func (r *reader) resource(pairs []pair) (srcGroup, bool) {
	out := srcGroup{name: pairs[0].key}
	t, ok := r.scalar(pairs[0].value)
	if !ok {
		return out, false
	}
	left, right, ok := arrow(t, "<-")
	if !ok {
		r.faults.add(t.at, "want NAME: Resource <- MAP[Resource], …")
		return out, false
	}
	out.typ, out.maps = left, listed(right)
	r.keys(pairs[1:], resourceKeys, map[string]*text{"each": &out.each, "where": &out.where, "key": &out.key}, func(p pair) bool {
		if p.key.s != "link" {
			return false
		}
		for _, l := range r.pairs(p.value) {
			out.link = append(out.link, srcLink{l.key, r.texts(l.value)})
		}
		return true
	})
	return out, true
}

// withInner gives segments and those that follow each.
func withInner(groups []srcGroup) []srcGroup {
	var out []srcGroup
	for _, g := range groups {
		out = append(append(out, g), withInner(g.segments)...)
	}
	return out
}

// segment reads "PRD: PractitionerRole[PRD]" and the keys under it.
func (r *reader) segment(pairs []pair) (srcGroup, bool) {
	out := srcGroup{name: pairs[0].key, typ: pairs[0].key}
	t, ok := r.scalar(pairs[0].value)
	if !ok {
		return out, false
	}
	out.maps = listed(t)
	r.keys(pairs[1:], segmentKeys, map[string]*text{"each": &out.each, "where": &out.where, "once": &out.once, "split": &out.split}, func(p pair) bool {
		switch p.key.s {
		case "received":
			out.received = r.texts(p.value)
		case "set":
			out.set = r.constants(p.value)
		case "segments":
			out.segments = each(r, p.value, segmentForm, (*reader).segment)
		default:
			return false
		}
		return true
	})
	return out, true
}

// listed splits "A, B" and keeps the places.
func listed(t text) []text {
	var out []text
	at := 0
	for part := range strings.SplitSeq(t.s, ",") {
		word := strings.TrimLeft(part, " ")
		out = append(out, text{strings.TrimRight(word, " "), t.at.plus(at + len(part) - len(word))})
		at += len(part) + 1
	}
	return out
}

func (r *reader) tableKey(t *srcTable, p pair) {
	switch p.key.s {
	case "codes":
		t.codes = r.constants(p.value)
	case "unlisted":
		v, ok := r.scalar(p.value)
		if ok && v.s != "quiet" && v.s != "warning" {
			r.faults.add(v.at, "unlisted is warning or quiet%s", meant(v.s, []string{"warning", "quiet"}))
		}
		t.quiet = v.s == "quiet"
	case "table":
		t.name, _ = r.scalar(p.value)
	case "system":
		t.system, _ = r.scalar(p.value)
	case "otherwise":
		t.otherwise, _ = r.scalar(p.value)
	}
}
