package fhir

import (
	"strings"

	apb "github.com/google/fhir/go/proto/google/fhir/proto/annotations_go_proto"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// This file turns google/fhir's protocol buffer descriptors into types. What the specification says is in
// their annotations: kind, required, reference targets, choice, value set.

// typeOf makes the type of a message and of all it holds; the lock is held. A type is entered before it is
// filled, since types refer to each other.
func (s *Schema) typeOf(m protoreflect.MessageDescriptor) *Type {
	switch m.FullName() {
	case "google.protobuf.Any", "google.fhir.r4.core.ContainedResource":
		return s.any
	}
	if t, ok := s.byMessage[m.FullName()]; ok {
		return t
	}
	t := newType(typeName(m), kindOf(m))
	s.byMessage[m.FullName()] = t
	if t.Kind == Primitive {
		t.add(&ElementDef{Name: "id", Type: s.primitive("string"), Max: 1})
		if ext := m.Fields().ByName("extension"); ext != nil {
			t.add(&ElementDef{Name: "extension", Type: s.typeOf(ext.Message()), Max: -1, order: 1})
		}
		return t
	}
	for i := range m.Fields().Len() {
		s.field(t, m.Fields().Get(i), i)
	}
	if t.Name == "Reference" {
		s.reference(t)
		t.refers = t.byName["reference"]
	}
	constrain(t)
	t.ruled = t.refers != nil || t.ties != nil || t.lack != nil || t.clash != nil || t.rules != nil
	if t.Kind == Resource {
		t.profile = ukCore().profile(t)
	}
	return t
}

func newType(name string, kind Kind) *Type {
	t := &Type{Name: name, Kind: kind, byName: map[string]*ElementDef{}}
	if t.opening = "{"; kind == Resource {
		t.opening += `"resourceType":"` + name + `",`
	}
	if kind != Primitive {
		return t
	}
	t.lexical, t.classed = lexical(name)
	switch name {
	case "boolean":
		t.form = boolean
	case "integer", "decimal", "positiveInt", "unsignedInt":
		t.form = number
	}
	return t
}

// primitive gives a primitive type that has a text and no extensions, for Reference.reference and the id
// of elements: google/fhir keeps those as other things, or drops what they carry.
func (s *Schema) primitive(name string) *Type {
	if t, ok := s.bare[name]; ok {
		return t
	}
	t := newType(name, Primitive)
	s.bare[name] = t
	return t
}

// reference puts the text of a Reference in place of google/fhir's one field per target type. R4 orders its
// elements reference, type, identifier, display.
func (s *Schema) reference(t *Type) {
	kept := t.byName
	t.Elements, t.byName, t.required, t.needs = nil, map[string]*ElementDef{}, nil, 0
	kept["reference"] = &ElementDef{Name: "reference", Type: kept["display"].Type, Max: 1}
	for order, name := range [...]string{"id", "extension", "reference", "type", "identifier", "display"} {
		d := kept[name]
		d.order = order
		t.add(d)
	}
}

func (s *Schema) field(t *Type, f protoreflect.FieldDescriptor, order int) {
	m := f.Message()
	if m == nil || t.Name == "Reference" && f.ContainingOneof() != nil {
		return // Reference.resource_id and its hundred kin: see reference
	}
	d := &ElementDef{Name: f.JSONName(), Max: 1, order: order, Targets: targets(f)}
	if f.Cardinality() == protoreflect.Repeated {
		d.Max = -1
	}
	if proto.GetExtension(f.Options(), apb.E_ValidationRequirement) == apb.Requirement_REQUIRED_BY_FHIR {
		d.Min = 1
	}
	if choice, _ := proto.GetExtension(m.Options(), apb.E_IsChoiceType).(bool); choice {
		s.choice(t, d, m)
		return
	}
	d.Binding = binding(m)
	d.Type = s.typeOf(m)
	t.add(d)
}

// choice adds an element under each of its concrete names.
func (s *Schema) choice(t *Type, base *ElementDef, m protoreflect.MessageDescriptor) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		name := f.JSONName()
		d := *base
		d.Choice = base.Name
		d.Name = base.Name + strings.ToUpper(name[:1]) + name[1:]
		if own := targets(f); own != nil {
			d.Targets = own
		}
		d.Binding = binding(f.Message())
		d.Type = s.typeOf(f.Message())
		t.add(&d)
	}
}

// targets gives the types that a Reference may point at; nil for any.
func targets(f protoreflect.FieldDescriptor) []string {
	list, _ := proto.GetExtension(f.Options(), apb.E_ValidReferenceType).([]string)
	if len(list) == 0 || list[0] == "Resource" {
		return nil
	}
	return list
}

// binding takes the codes of a required binding, which google/fhir models as an enum; other bindings have
// a plain text there.
func binding(m protoreflect.MessageDescriptor) *Binding {
	v := m.Fields().ByName("value")
	if v == nil || v.Enum() == nil || kindOf(m) != Primitive {
		return nil
	}
	b := &Binding{set: map[string]bool{}}
	b.ValueSet, _ = proto.GetExtension(m.Options(), apb.E_FhirValuesetUrl).(string)
	for i := range v.Enum().Values().Len() {
		e := v.Enum().Values().Get(i)
		if e.Number() == 0 {
			continue // INVALID_UNINITIALIZED
		}
		code, _ := proto.GetExtension(e.Options(), apb.E_FhirOriginalCode).(string)
		if code == "" {
			code = strings.ReplaceAll(strings.ToLower(string(e.Name())), "_", "-")
		}
		b.set[code] = true
		b.Codes = append(b.Codes, code)
	}
	return b
}

func (t *Type) add(d *ElementDef) {
	d.at, d.mask, d.lead = len(t.Elements), 1<<d.order, `"`+d.Name+`":`
	switch {
	case d.Repeats():
		d.lead += "["
	case d.Type.Kind == Primitive && d.Type.form == quoted:
		d.lead += `"`
	}
	copy(d.bytes[:], d.lead)
	t.Elements = append(t.Elements, d)
	t.byName[d.Name] = d
	if d.Name == "id" {
		t.id = d
	}
	if d.Min == 0 {
		return
	}
	for _, r := range t.required {
		if r.Choice != "" && r.Choice == d.Choice {
			return
		}
	}
	t.required, t.needs = append(t.required, d), t.needs|d.bit()
}

func kindOf(m protoreflect.MessageDescriptor) Kind {
	switch proto.GetExtension(m.Options(), apb.E_StructureDefinitionKind) {
	case apb.StructureDefinitionKindValue_KIND_PRIMITIVE_TYPE:
		return Primitive
	case apb.StructureDefinitionKindValue_KIND_RESOURCE:
		return Resource
	case apb.StructureDefinitionKindValue_KIND_COMPLEX_TYPE:
		return Complex
	}
	return Backbone
}

// typeName gives the FHIR name: primitives begin in lower case, and a code bound to an enum is a code.
func typeName(m protoreflect.MessageDescriptor) string {
	name := string(m.Name())
	switch kindOf(m) {
	case Primitive:
		if strings.HasSuffix(name, "Code") {
			return "code"
		}
		return strings.ToLower(name[:1]) + name[1:]
	case Backbone:
		if p, ok := m.Parent().(protoreflect.MessageDescriptor); ok {
			name = typeName(p) + "." + strings.ToLower(name[:1]) + name[1:]
		}
	}
	return name
}
