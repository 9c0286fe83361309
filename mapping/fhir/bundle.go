package fhir

import (
	"iter"
	"strings"
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
	entry, err := b.Root.Add("entry")
	if err != nil {
		return Element{}, err
	}
	if fullURL != "" {
		if err := entry.Set("fullUrl", fullURL); err != nil {
			return Element{}, err
		}
	}
	r, err := entry.AddResource("resource", typ)
	if err != nil {
		return Element{}, err
	}
	if id, ok := strings.CutPrefix(fullURL, "urn:uuid:"); ok {
		err = r.Set("id", id)
	}
	return r, err
}

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
