package fhir

import (
	"fmt"
	"iter"
	"strings"
	"sync"
)

// Bundle is a convenience over a Bundle resource.
type Bundle struct{ Root Element }

// NewBundle makes an empty Bundle of a type such as "message".
func NewBundle(t *Tree, typ string) (*Bundle, error) {
	root, err := t.NewResource("Bundle")
	if err != nil {
		return nil, err
	}
	return &Bundle{root}, root.Set("type", typ)
}

// Tree the Bundle lives in.
func (b *Bundle) Tree() *Tree { return b.Root.t }

// Add appends an entry with a new resource. A fullUrl of the form urn:uuid:… becomes the resource's id too.
func (b *Bundle) Add(fullURL, typ string) (Element, error) {
	rt, ok := R4().Resource(typ)
	if !ok {
		return Element{}, fmt.Errorf("fhir: no resource type %q", typ)
	}
	entry, r, err := b.entry(rt)
	if err == nil && fullURL != "" {
		err = entry.SetDef(bundleDefs().fullURL, fullURL)
	}
	if id, ok := strings.CutPrefix(fullURL, urnUUID); ok && err == nil {
		err = r.Set("id", id)
	}
	return r, err
}

// AddType is Add for a type that was looked up before.
func (b *Bundle) AddType(fullURL UUID, typ *Type) (Element, error) {
	if typ.Kind != Resource {
		return Element{}, fmt.Errorf("fhir: %s is no resource", typ.Name)
	}
	d := bundleDefs()
	entry := b.Root.insert(d.entry, d.entry.Type)
	entry.set(d.fullURL, fullURL.url, fullURL.data)
	r := entry.insert(d.resource, typ)
	r.set(typ.id, strings.TrimPrefix(fullURL.url, urnUUID), fullURL.data)
	return r, nil
}

// entry appends an entry with a new resource.
func (b *Bundle) entry(typ *Type) (entry, resource Element, err error) {
	if entry, err = b.Root.AddDef(bundleDefs().entry); err == nil {
		resource, err = entry.place(bundleDefs().resource, typ)
	}
	return entry, resource, err
}

// bundleDefs looks up once what every entry of a Bundle has.
var bundleDefs = sync.OnceValue(func() *entryDefs {
	d := new(entryDefs)
	bundle, _ := R4().Resource("Bundle")
	d.entry, _ = bundle.Element("entry")
	d.fullURL, _ = d.entry.Type.Element("fullUrl")
	d.resource, _ = d.entry.Type.Element("resource")
	return d
})

type entryDefs struct{ entry, fullURL, resource *ElementDef }

// Resources gives the resources of the entries, in order.
func (b *Bundle) Resources() iter.Seq[Element] {
	return func(yield func(Element) bool) {
		for entry := range b.Root.Children("entry") {
			if r := entry.Child("resource"); r.OK() && !yield(r) {
				return
			}
		}
	}
}

// All gives the resources of a type.
func (b *Bundle) All(typ string) iter.Seq[Element] {
	return func(yield func(Element) bool) {
		for r := range b.Resources() {
			if r.Type().Name == typ && !yield(r) {
				return
			}
		}
	}
}

// First gives the first resource of a type.
func (b *Bundle) First(typ string) Element {
	for r := range b.All(typ) {
		return r
	}
	return Element{}
}

// Resolve finds the resource that a reference names: by fullUrl, or as "Type/id", also with a version.
// None where it leads out of the Bundle; "#id" is for Contained.
func (b *Bundle) Resolve(ref string) Element {
	typ, id := literal(ref)
	for entry := range b.Root.Children("entry") {
		r, full := entry.Child("resource"), entry.Child("fullUrl").Text()
		switch {
		case !r.OK() || ref == "":
		case full == ref:
			return r
		case typ == "" || absolute(ref) || r.Type().Name != typ:
		case r.Child("id").Text() == id:
			return r
		default:
			if t, i := literal(full); t == typ && i == id {
				return r
			}
		}
	}
	return Element{}
}

// Contained finds the resource that "#id" names in a resource; none for any other reference.
func Contained(r Element, ref string) Element {
	id, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return Element{}
	}
	for c := range r.Children("contained") {
		if c.Child("id").Text() == id {
			return c
		}
	}
	return Element{}
}
