package fhir

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// name is what a resource in a Bundle may be called beside its fullUrl.
type name struct{ typ, id string }

// index finds the resources of a Bundle by every name a reference may use (FHIR R4 §2.36.4.1).
type index struct {
	bundle Element
	urls   urls
	names  map[name]Element // made when first asked for: most references in a message are fullUrls
}

// urls finds entries by their fullUrl: a hash table whose places are taken in a row. A map does the same at three times
// the cost, which every reference of every message would pay.
type urls struct {
	places []place // a power of two of them, at least two for each entry
	seed   maphash.Seed
}

type place struct {
	url      string
	resource Element
	taken    bool
}

// reset makes the table empty, for n entries.
func (u *urls) reset(n int) {
	if u.places == nil {
		u.seed = maphash.MakeSeed()
	}
	size := 1 << bits.Len(uint(2*n))
	u.places = slices.Grow(u.places[:0], size)[:size]
}

// at gives the place of a url, or the free one where it belongs.
func (u *urls) at(url string) *place {
	last := uint64(len(u.places) - 1)
	for i := maphash.String(u.seed, url) & last; ; i = (i + 1) & last {
		if p := &u.places[i]; !p.taken || p.url == url {
			return p
		}
	}
}

// index learns what the entries of a Bundle are called and reports two of one fullUrl (bdl-7).
func (v *validator) index(b Element) *index {
	x := v.spare
	if v.spare = nil; x == nil {
		x = new(index)
	}
	x.bundle = b
	defs, n := bundleDefs(), 0
	for range b.ChildrenDef(defs.entry) {
		n++
	}
	x.urls.reset(n)
	for entry := range b.ChildrenDef(defs.entry) {
		url := entry.ChildDef(defs.fullURL).Text()
		if url == "" {
			continue
		}
		p := x.urls.at(url)
		if p.taken {
			v.fault(issue.Value, entry, "fullUrl", "another entry has the same fullUrl")
			continue
		}
		*p = place{url, entry.ChildDef(defs.resource), true}
	}
	return x
}

// done lets an index be used again.
func (v *validator) done(x *index) {
	clear(x.urls.places)
	*x = index{urls: x.urls}
	v.spare = x
}

// named finds a resource by its type and id, as they are or as its fullUrl says them.
func (x *index) named(n name) Element {
	if x.names == nil {
		x.names = map[name]Element{}
		for entry := range x.bundle.Children("entry") {
			r := entry.Child("resource")
			if typ, id := literal(entry.Child("fullUrl").Text()); typ != "" {
				add(x.names, name{typ, id}, r)
			}
			if id := r.Child("id").Text(); id != "" {
				add(x.names, name{r.Type().Name, id}, r)
			}
		}
	}
	return x.names[n]
}

// add gives a resource a name; false when it is taken, and the first keeps it.
func add[K comparable](m map[K]Element, name K, r Element) bool {
	if _, taken := m[name]; taken {
		return false
	}
	m[name] = r
	return true
}

// find gives the resource a reference leads to, none when it leads out of the Bundle.
func (x *index) find(ref string) Element {
	if x == nil {
		return Element{}
	}
	if p := x.urls.at(ref); p.taken {
		return p.resource
	}
	if typ, id := literal(ref); typ != "" && !absolute(ref) {
		return x.named(name{typ, id})
	}
	return Element{}
}

// literal takes the type and id from "Patient/1", "https://host/fhir/Patient/1" and both with
// "/_history/2"; typ is "" for everything else.
func literal(ref string) (typ, id string) {
	if strings.IndexByte(ref, '/') < 0 {
		return "", ""
	}
	ref, _, _ = strings.Cut(ref, "/_history/")
	rest, id, ok := cutLast(ref)
	if !ok {
		return "", ""
	}
	if _, last, ok := cutLast(rest); ok {
		rest = last
	}
	if _, known := R4().resources[rest]; !known {
		return "", ""
	}
	return rest, id
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// absolute tells a reference with a scheme: urn:uuid:…, https://….
func absolute(ref string) bool { return strings.Contains(ref, ":") }

// reference checks that a reference leads somewhere, and to a type that may stand there. In a message a
// relative reference to nothing is an error unless an identifier or a display says what is meant: there is
// no server to ask.
func (v *validator) reference(e Element) {
	ref := e.ChildDef(e.n().typ.refers).Text()
	if ref == "" {
		return
	}
	if ref[0] == '#' {
		if ref != "#" && !Contained(v.root, ref).OK() {
			v.fault(issue.NotFound, e, "reference", "no contained resource has this id (ref-1)")
		}
		return
	}
	typ := ""
	if r := v.bundle.find(ref); r.OK() {
		typ = r.Type().Name
	} else {
		typ, _ = literal(ref)
		if v.bundle != nil {
			v.dangling(e, ref)
		}
	}
	if d := e.Def(); typ != "" && d != nil && !d.AllowsTarget(typ) {
		v.fault(issue.Value, e, "reference", "may not point at a "+typ)
	}
}

func (v *validator) dangling(e Element, ref string) {
	inside := strings.HasPrefix(ref, "urn:uuid:") || strings.HasPrefix(ref, "urn:oid:")
	if !inside && v.message && !absolute(ref) {
		inside = !e.Child("identifier").OK() && !e.Child("display").OK()
	}
	if inside {
		v.fault(issue.NotFound, e, "reference", "leads to no entry of the Bundle")
	}
}
