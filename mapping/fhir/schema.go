// Package fhir holds FHIR R4 resources as an ordered tree over a schema, and writes, reads and validates
// them. The schema is taken from the descriptors of google/fhir; the tree, the reader and the writer are
// our own, and google/fhir's reader is the second judge of what comes in.
package fhir

import (
	"slices"
	"sync"

	dtpb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/datatypes_go_proto"
	bcr "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/resources/bundle_and_contained_resource_go_proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Kind of a type.
type Kind uint8

const (
	Primitive   Kind = iota // string, code, date, …: has a text
	Complex                 // a data type such as HumanName
	Backbone                // the inner type of an element such as Bundle.entry
	Resource                // Patient, …
	AnyResource             // what Bundle.entry.resource and contained hold
)

// Type is a FHIR type with its elements in the order of the specification. Types are made once and never
// change, so that two elements are of one type when the pointers are equal.
type Type struct {
	Name     string // "Patient", "HumanName", "dateTime"; of a backbone its path, "Bundle.entry"
	Kind     Kind
	Elements []*ElementDef // a choice is listed under each of its concrete names
	byName   map[string]*ElementDef
	required []*ElementDef     // Min 1, each choice once
	needs    present           // those of required
	lexical  func(string) bool // of a primitive: is a text of its form?
	classed  classed           // the same from what its bytes are; nil: that does not tell
	form     form              // of a primitive
	opening  string            // what its object begins with in compact JSON
	id       *ElementDef       // of a resource
	refers   *ElementDef       // of Reference: its reference; nil: it is another type
	ties     []tie             // invariants, see invariant.go
	clash    clash             // another, nil when there is none
	lack     lack              // one whose need depends on what another says, nil when there is none
	rules    []rule            // further ones
	ruled    bool              // there is any of these, or it is Reference
	profile  *Profile          // of UK Core; nil: none
}

// form is how a primitive stands in JSON.
type form uint8

const (
	quoted form = iota
	number
	boolean
)

// ElementDef is one element of a type. What every written element asks for stands first, on one line of the processor's
// cache.
type ElementDef struct {
	Type    *Type
	Max     int            // -1: any number
	mask    present        // order as a set
	lead    string         // what stands before its value in compact JSON: `"birthDate":"`, `"name":[`
	bytes   [leadRoom]byte // lead, as far as it goes in
	Choice  string         // "value" for valueString; empty when it is no choice
	order   int            // place in the type, the same for all forms of a choice
	Name    string         // in JSON: "birthDate", "valueString"
	Binding *Binding       // of a code whose value set is required; nil: any code
	Targets []string       // resource types that a Reference may point at; nil: any
	Min     int
	at      int // place in Type.Elements
}

// Binding is a required binding: only these codes may stand in the element.
type Binding struct {
	ValueSet string   // canonical url, "http://hl7.org/fhir/ValueSet/request-status"
	Codes    []string // in the order of the value set
	set      map[string]bool
}

// Repeats tells whether the element is an array in JSON.
func (d *ElementDef) Repeats() bool { return d.Max != 1 }

// Allows tells whether a required binding has the code; every code is allowed where there is none.
func (d *ElementDef) Allows(code string) bool { return d.Binding == nil || d.Binding.set[code] }

// AllowsTarget tells whether a reference here may point at a resource type.
func (d *ElementDef) AllowsTarget(typ string) bool {
	return d.Targets == nil || slices.Contains(d.Targets, typ)
}

// Element finds an element by its JSON name.
func (t *Type) Element(name string) (*ElementDef, bool) {
	d, ok := t.byName[name]
	return d, ok
}

// Required gives the elements that must be there, of a choice the first form.
func (t *Type) Required() []*ElementDef { return t.required }

// Choices gives the concrete elements of a choice such as "value".
func (t *Type) Choices(choice string) []*ElementDef {
	var out []*ElementDef
	for _, d := range t.Elements {
		if d.Choice == choice && choice != "" {
			out = append(out, d)
		}
	}
	return out
}

// Schema is the R4 schema. Types are made when first asked for; it may be used by several goroutines.
type Schema struct {
	resources map[string]protoreflect.MessageDescriptor // never changed after it is made
	datatypes map[string]protoreflect.MessageDescriptor // complex and primitive, likewise
	names     []string
	any       *Type

	mu        sync.Mutex
	byMessage map[protoreflect.FullName]*Type
	bare      map[string]*Type // primitives without a message of their own, see primitive
}

// R4 gives the one schema; making it costs two lists of names.
var R4 = sync.OnceValue(newSchema)

func newSchema() *Schema {
	s := &Schema{
		resources: map[string]protoreflect.MessageDescriptor{},
		datatypes: map[string]protoreflect.MessageDescriptor{},
		any:       &Type{Name: "Resource", Kind: AnyResource, byName: map[string]*ElementDef{}},
		byMessage: map[protoreflect.FullName]*Type{},
		bare:      map[string]*Type{},
	}
	fields := (&bcr.ContainedResource{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		m := fields.Get(i).Message()
		s.resources[string(m.Name())] = m
		s.names = append(s.names, string(m.Name()))
	}
	messages := (&dtpb.Extension{}).ProtoReflect().Descriptor().ParentFile().Messages()
	for i := range messages.Len() {
		m := messages.Get(i)
		if k := kindOf(m); k == Primitive || k == Complex {
			s.datatypes[typeName(m)] = m
		}
	}
	return s
}

// ResourceNames lists the resource types.
func (s *Schema) ResourceNames() []string { return slices.Clone(s.names) }

// Resource gives a resource type.
func (s *Schema) Resource(name string) (*Type, bool) { return s.typed(s.resources[name]) }

// Datatype gives a complex or primitive data type, such as "HumanName" or "dateTime".
func (s *Schema) Datatype(name string) (*Type, bool) { return s.typed(s.datatypes[name]) }

func (s *Schema) typed(m protoreflect.MessageDescriptor) (*Type, bool) {
	if m == nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.typeOf(m), true
}
