package fhir

import (
	"slices"
	"sync"
	"testing"
)

func element(t *testing.T, typ, name string) *ElementDef {
	t.Helper()
	rt, ok := R4().Resource(typ)
	if !ok {
		rt, ok = R4().Datatype(typ)
	}
	if !ok {
		t.Fatalf("no type %s", typ)
	}
	d, ok := rt.Element(name)
	if !ok {
		t.Fatalf("no element %s.%s", typ, name)
	}
	return d
}

// TestSchemaSaysWhatTheSpecificationSays spot-checks against hl7.org/fhir/R4.
func TestSchemaSaysWhatTheSpecificationSays(t *testing.T) {
	for _, want := range []struct {
		typ, name, of string
		min, max      int
	}{
		{"ServiceRequest", "status", "code", 1, 1},
		{"ServiceRequest", "subject", "Reference", 1, 1},
		{"ServiceRequest", "supportingInfo", "Reference", 0, -1},
		{"ServiceRequest", "doNotPerform", "boolean", 0, 1},
		{"Media", "content", "Attachment", 1, 1},
		{"Media", "height", "positiveInt", 0, 1},
		{"Consent", "scope", "CodeableConcept", 1, 1},
		{"Consent", "category", "CodeableConcept", 1, -1},
		{"MessageHeader", "eventCoding", "Coding", 1, 1},
		{"MessageHeader", "source", "MessageHeader.messageSource", 1, 1},
		{"Provenance", "recorded", "instant", 1, 1},
		{"Task", "output", "Task.output", 0, -1},
		{"Bundle", "entry", "Bundle.entry", 0, -1},
		{"Patient", "contained", "Resource", 0, -1},
		{"Attachment", "size", "unsignedInt", 0, 1},
		{"Attachment", "contentType", "code", 0, 1},
		{"Extension", "url", "uri", 1, 1},
		{"Reference", "reference", "string", 0, 1},
		{"Quantity", "value", "decimal", 0, 1},
		{"Narrative", "div", "xhtml", 1, 1},
	} {
		d := element(t, want.typ, want.name)
		if d.Type.Name != want.of || d.Min != want.min || d.Max != want.max {
			t.Errorf("%s.%s: %s %d..%d, want %s %d..%d", want.typ, want.name, d.Type.Name, d.Min, d.Max, want.of, want.min, want.max)
		}
	}
}

func TestRequiredBindingsCarryTheirCodes(t *testing.T) {
	status := element(t, "ServiceRequest", "status")
	want := []string{"draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"}
	if !slices.Equal(status.Binding.Codes, want) || status.Binding.ValueSet != "http://hl7.org/fhir/ValueSet/request-status" {
		t.Errorf("ServiceRequest.status: %+v", status.Binding)
	}
	if c := element(t, "Quantity", "comparator"); !c.Allows("<=") || c.Allows("LESS_THAN") {
		t.Errorf("Quantity.comparator: %v", c.Binding.Codes)
	}
	if p := element(t, "Observation", "category"); p.Binding != nil || !p.Allows("anything") {
		t.Error("Observation.category has no required binding")
	}
	if l := element(t, "Patient", "language"); l.Binding != nil {
		t.Error("Patient.language has no required binding")
	}
}

func TestReferencesKnowTheirTargets(t *testing.T) {
	subject := element(t, "ServiceRequest", "subject")
	if want := []string{"Patient", "Group", "Location", "Device"}; !sameSet(subject.Targets, want) {
		t.Errorf("ServiceRequest.subject: %v, want %v", subject.Targets, want)
	}
	if !element(t, "Task", "focus").AllowsTarget("ServiceRequest") || subject.AllowsTarget("Media") {
		t.Error("Task.focus may point at anything, ServiceRequest.subject may not")
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func TestChoicesStandUnderTheirConcreteNames(t *testing.T) {
	obs, _ := R4().Resource("Observation")
	if n := len(obs.Choices("value")); n != 11 {
		t.Errorf("Observation.value[x] has %d types, want 11", n)
	}
	if d := element(t, "Observation", "valueQuantity"); d.Choice != "value" || d.Type.Name != "Quantity" {
		t.Errorf("Observation.valueQuantity: %+v", d)
	}
	if _, ok := obs.Element("value"); ok {
		t.Error("Observation.value is no name in JSON")
	}
	if n := len(obs.Choices("")); n != 0 {
		t.Errorf("%d elements are of no choice", n)
	}
}

// TestEveryTypeIsUsable walks all types, from several goroutines as the gateway does.
func TestEveryTypeIsUsable(t *testing.T) {
	names := R4().ResourceNames()
	if len(names) < 140 {
		t.Errorf("%d resource types, want R4's 146 and more", len(names))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, n := range names {
				rt, ok := R4().Resource(n)
				if !ok || rt.Kind != Resource || rt.Name != n {
					t.Errorf("%s: %v", n, rt)
				}
				walk(t, rt, map[*Type]bool{})
			}
		})
	}
	wg.Wait()
	for _, n := range []string{"code", "Patient "} {
		if _, ok := R4().Resource(n); ok {
			t.Errorf("%s is no resource", n)
		}
	}
}

func walk(t *testing.T, typ *Type, done map[*Type]bool) {
	if done[typ] {
		return
	}
	done[typ] = true
	if n := len(typ.Elements); n > 512 || typ.Kind != Primitive && typ.Kind != AnyResource && n == 0 {
		t.Errorf("%s has %d elements; the reader's seen has room for 512", typ.Name, n)
	}
	if typ.Kind == Primitive && typ.lexical == nil {
		t.Errorf("%s has no lexical form", typ.Name)
	}
	for _, d := range typ.Elements {
		if d.Type == nil || d.Binding != nil && len(d.Binding.Codes) == 0 {
			t.Fatalf("%s.%s is incomplete", typ.Name, d.Name)
		}
		walk(t, d.Type, done)
	}
}

// BenchmarkSchema makes all that a message of ours needs; it is paid once, at start.
func BenchmarkSchema(b *testing.B) {
	for b.Loop() {
		s := newSchema()
		for _, n := range []string{"Bundle", "MessageHeader", "ServiceRequest", "Patient", "Practitioner", "PractitionerRole", "Organization", "HealthcareService",
			"Media", "DocumentReference", "Condition", "Observation", "Consent", "Provenance", "Task", "Communication", "OperationOutcome"} {
			if _, ok := s.Resource(n); !ok {
				b.Fatal(n)
			}
		}
	}
}
