package mapping_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// TestNoMapThatLoadsMakesAnInvalidBundle writes maps at random, strikes out what Load refuses until the rest loads, and
// translates messages of odd values with it: whatever the map, its Bundle must be valid. PROBE=250 looks at more sets of
// maps, PROBE_FROM=1000 at others.
func TestNoMapThatLoadsMakesAnInvalidBundle(t *testing.T) {
	t.Parallel()
	sets, messages := 12, 12
	if n, err := strconv.Atoi(os.Getenv("PROBE")); err == nil {
		sets = n
	}
	loaded, made := 0, map[string]int{}
	first, _ := strconv.Atoi(os.Getenv("PROBE_FROM"))
	for seed := first; seed < first+sets; seed++ {
		p := newProbe(uint64(seed))
		set := p.load(t)
		if set == nil {
			continue
		}
		loaded++
		for range messages {
			raw := p.message()
			m, err := hl7.Parse([]byte(raw))
			if err != nil {
				t.Fatalf("%v\n%s", err, raw)
			}
			res, err := set.ToFHIR(m, options(t))
			if err != nil {
				t.Fatal(err)
			}
			for r := range res.Bundle.Resources() {
				made[r.Type().Name]++
			}
			if issues := fhir.Validate(res.Bundle.Root); len(issues) > 0 {
				b, _ := fhir.AppendJSON(nil, res.Bundle.Root)
				t.Fatalf("seed %d: %v\n%s\n%s\n%s", seed, issues, p, strings.ReplaceAll(raw, "\r", "\n"), b)
			}
			if c := res.Leaves; c.Valued != c.Mapped+c.Ignored+c.Unmapped {
				t.Fatalf("seed %d: %+v", seed, c)
			}
			res.Release()
		}
	}
	t.Logf("%d of %d sets of maps loaded; they made %v", loaded, sets, made)
	if loaded < sets*9/10 || len(made) < min(10, sets) {
		t.Errorf("%d of %d sets of maps loaded, resources of %d types: the probe looks at little", loaded, sets, len(made))
	}
}

// probe is a set of maps made at random.
type probe struct {
	*rand.Rand
	files map[string]*probeFile
}

// probeFile is a map file as a head and items that can be struck out one by one.
type probeFile struct {
	head   string
	items  []string
	starts []int // line of each item
}

func (f *probeFile) text() string {
	out := f.head
	f.starts = f.starts[:0]
	for _, i := range f.items {
		f.starts = append(f.starts, 1+strings.Count(out, "\n"))
		out += i
	}
	return out
}

// strike takes the item out that stands on a line; false when the line is none's.
func (f *probeFile) strike(line int) bool {
	n := len(f.starts) - 1
	for n >= 0 && f.starts[n] > line {
		n--
	}
	if n < 0 || f.items[n] == "" {
		return n >= 0
	}
	f.items[n] = strings.Repeat("\n", strings.Count(f.items[n], "\n")) // lines stay where they are
	return true
}

var (
	probeSegments  = []string{"PID", "PV1", "NK1", "OBX", "OBR", "DG1", "AL1", "NTE"}
	probeResources = []string{"Patient", "Observation", "Encounter", "Consent", "Organization", "Practitioner", "PractitionerRole", "RelatedPerson",
		"Composition", "Condition", "Procedure", "MedicationRequest", "Task", "Media", "DocumentReference", "Communication", "DiagnosticReport",
		"ServiceRequest", "AllergyIntolerance", "Location", "Provenance", "Specimen", "Goal", "Appointment", "CarePlan", "List", "Flag", "Binary",
		"Parameters", "OperationOutcome", "Questionnaire", "QuestionnaireResponse", "Immunization", "Coverage", "Claim", "Group", "Basic"}
	// probeDatatypes are maps of data types, by the FHIR type they give.
	probeDatatypes = map[string][]string{"Identifier": {"CX", "EI", "HD"}, "CodeableConcept": {"CWE"}, "Coding": {"CWE"}, "ContactPoint": {"XTN"},
		"HumanName": {"XPN", "XCN"}, "Address": {"XAD"}, "Quantity": {"CQ"}, "Period": {"DR"}, "Reference": {"HD", "CX"}, "Annotation": {"CWE"},
		"Timing": {"DR"}, "Range": {"CQ"}, "Attachment": {"RP"}, "Dosage": {"CWE"}, "Signature": {"XCN"}, "Extension": {"CX"}, "Money": {"CQ"}, "Meta": {"CWE"},
		"Narrative": {"CWE"}, "UsageContext": {"CWE"}, "Practitioner": {"XCN"}, "Organization": {"XON", "HD"}, "Patient": {"CX"}, "Location": {"PL"}, "Expression": {"CWE"}}
	probeTexts = []string{"", " ", `""`, "0", "00", "-1", "7", "1e5", ".5", "-.5", "7.50", "99999999999", "2026", "20261124", "20261123101500", "20261125101500+1430",
		"20261124101500.123456-0500", "19000101", "29990101", "1015", "M", "F", "final", "active", "x", "a b  c", "été", "\u00a0", "urn:oid:1.2", "1.2.840.10008",
		"https://x/%zz", "https://x/a b", "1a:b", "::", "%", "NHS", "Y", "N", "RXX01", "<div>x</div>", "#x", "Patient/1", "urn:uuid:0f0c7a30-5b1e-4c55-8a53-000000000001",
		`\X00\`, `\.br\`, `\F\`, strings.Repeat("long ", 60), "https://x/y^^image^jpeg", "^image^jpeg^Base64^AAAA", "^application^pdf^Base64^JVBERi0xLjQK"}
)

func newProbe(seed uint64) *probe {
	p := &probe{Rand: rand.New(rand.NewPCG(seed, 7)), files: map[string]*probeFile{}}
	p.files["names.yaml"] = &probeFile{head: "systems:\n  One: urn:probe:one\n  Two: urn:probe:two\nextensions:\n  text: {url: urn:probe:text, value: string}\n" +
		"  coded: {url: urn:probe:coded, value: codeableConcept}\n  named: {url: urn:probe:named, value: reference}\n"}
	p.files["tables/CodingSystem.yaml"] = &probeFile{head: "table: CodingSystem\nunlisted: quiet\ncodes: {NHS: urn:probe:nhs}\n"}
	for to, froms := range probeDatatypes {
		for _, from := range froms {
			name := from + "[" + to + "]"
			p.files["datatypes/"+name+".yaml"] = &probeFile{head: "map: " + name + "\nrules:\n"}
		}
	}
	message := &probeFile{head: "map: ADT_A01\nfor: [ADT^A01]\nresources:\n"}
	p.files["messages/ADT_A01.yaml"] = message
	p.segment("MSH", "MessageHeader")
	header := p.files["segments/MSH[MessageHeader].yaml"]
	header.items = append([]string{"  - MSH-9.2 -> eventCoding.code: code\n", "  - (\"urn:probe\") -> source.endpoint: url\n"}, header.items...)
	message.items = append(message.items, "  - header: MessageHeader <- MSH[MessageHeader]\n")
	types := []string{"Patient", "Practitioner", "Organization"}
	for range 7 {
		types = append(types, pick(p, probeResources))
	}
	for n, typ := range types {
		seg := pick(p, probeSegments)
		text := "  - r" + strconv.Itoa(n) + ": " + typ + " <- " + seg + "[" + typ + "]\n"
		if p.IntN(3) > 0 {
			text += "    each: " + seg + "\n"
		}
		message.items = append(message.items, text+p.links(typ, types))
		p.segment(seg, typ)
	}
	for _, file := range slices.Sorted(maps.Keys(p.files)) {
		if !strings.HasPrefix(file, "datatypes/") {
			continue
		}
		from, to, _ := strings.Cut(strings.TrimSuffix(path.Base(file), "].yaml"), "[")
		p.rules(p.files[file], from, to)
	}
	return p
}

func pick[T any](p *probe, list []T) T { return list[p.IntN(len(list))] }

// segment writes a map of a segment into a resource.
func (p *probe) segment(from, to string) {
	file := "segments/" + from + "[" + to + "].yaml"
	if p.files[file] == nil {
		p.files[file] = &probeFile{head: "map: " + from + "[" + to + "]\nrules:\n"}
		p.rules(p.files[file], from, to)
	}
}

// rules writes rules at random: for what is required, and for anything else.
func (p *probe) rules(f *probeFile, from, to string) {
	typ, ok := fhir.R4().Resource(to)
	if !ok {
		typ, _ = fhir.R4().Datatype(to)
	}
	for _, d := range typ.Required() {
		for n := range 6 { // some of them load
			if d.Type.Kind == fhir.Primitive && n < 3 {
				f.items = append(f.items, "  - "+p.source(from)+" -> "+d.Name+": "+p.how(d)+"\n")
				continue
			}
			f.items = append(f.items, p.rule(from, typ, d))
		}
	}
	for range 4 + p.IntN(10) {
		f.items = append(f.items, p.rule(from, typ, pick(p, typ.Elements)))
	}
}

// rule writes one rule that begins with an element of a type.
func (p *probe) rule(from string, typ *fhir.Type, d *fhir.ElementDef) string {
	way, last := p.way(d, 4)
	source := p.source(from)
	text := "  - " + source + " -> " + way + ": " + p.how(last) + "\n"
	if p.IntN(4) == 0 {
		text += "    when: " + p.source(from) + " != \"x\"\n"
	}
	if last != nil && p.IntN(4) == 0 {
		base := last.Type
		if base.Kind == fhir.Primitive {
			base = typ
		}
		if len(base.Elements) > 0 {
			set, to := p.way(pick(p, base.Elements), 2)
			text += "    set: {" + strconv.Quote(set) + ": " + p.constant(to) + "}\n"
		}
	}
	return text
}

func (p *probe) source(from string) string {
	if p.IntN(5) == 0 {
		return `("` + strings.TrimSpace(strings.NewReplacer(`\`, "", `"`, "").Replace(pick(p, probeTexts))) + `")`
	}
	if !hl7.LookupSegment(from) {
		if p.IntN(8) == 0 {
			return from
		}
		return from + "." + strconv.Itoa(1+p.IntN(6))
	}
	out := from + "-" + strconv.Itoa(1+p.IntN(20))
	if p.IntN(2) == 0 {
		out += "[1]"
	}
	if p.IntN(2) == 0 {
		out += "." + strconv.Itoa(1+p.IntN(4))
	}
	return out
}

// way goes down from an element; the last element is nil for an extension.
func (p *probe) way(d *fhir.ElementDef, depth int) (string, *fhir.ElementDef) {
	out := ""
	for {
		word := d.Name
		if d.Name == "extension" && p.IntN(4) > 0 {
			name := pick(p, []string{"text", "coded", "named"})
			if p.IntN(4) > 0 {
				return out + word + "(" + name + ")", nil
			}
			word += "(" + name + ")"
		} else if d.Repeats() && p.IntN(2) == 0 {
			word += "[" + strconv.Itoa(p.IntN(2)) + "]"
		}
		out += word
		typ := d.Type
		if depth--; depth == 0 || len(typ.Elements) == 0 || typ.Kind == fhir.Primitive && p.IntN(6) > 0 || typ.Kind == fhir.Complex && p.IntN(3) == 0 {
			return out, d
		}
		out += "."
		d = pick(p, typ.Elements)
		if req := typ.Required(); len(req) > 0 && p.IntN(2) == 0 {
			d = pick(p, req)
		}
	}
}

// links writes references of a resource: those that are required, and others.
func (p *probe) links(typ string, types []string) string {
	t, _ := fhir.R4().Resource(typ)
	text := ""
	link := func(way string, d *fhir.ElementDef) {
		for n, to := range types {
			if d.AllowsTarget(to) && p.IntN(2) == 0 {
				text += "      " + strconv.Quote(way) + ": r" + strconv.Itoa(n) + "\n"
				return
			}
		}
	}
	for _, d := range t.Required() {
		if d.Type.Name == "Reference" {
			link(d.Name, d)
		}
	}
	for range p.IntN(40) {
		if way, d := p.way(pick(p, t.Elements), 3); d != nil && d.Type.Name == "Reference" {
			link(way, d)
		}
	}
	if text != "" {
		text = "    link:\n" + text
	}
	return text
}

func (p *probe) how(d *fhir.ElementDef) string {
	if d == nil {
		return pick(p, []string{"string", "CWE[CodeableConcept]", "XCN[Practitioner]", "HD[Reference]"})
	}
	if froms := probeDatatypes[d.Type.Name]; froms != nil && p.IntN(8) > 0 {
		if d.Type.Name == "Reference" && p.IntN(3) > 0 {
			return pick(p, []string{"XCN[Practitioner]", "XON[Organization]", "HD[Organization]", "CX[Patient]", "PL[Location]"})
		}
		if d.Type.Name == "Attachment" {
			return pick(p, []string{"file", "text", "RP[Attachment]"})
		}
		return pick(p, froms) + "[" + d.Type.Name + "]"
	}
	if d.Type.Kind == fhir.Primitive && (d.Binding != nil || p.IntN(6) == 0) && p.IntN(5) > 0 {
		return "table(" + p.table(d) + ")"
	}
	if strings.HasSuffix(d.Type.Name, "Int") && p.IntN(3) == 0 {
		return pick(p, []string{"width", "height"})
	}
	return pick(p, []string{d.Type.Name, d.Type.Name, d.Type.Name, "string", "lines", "system"})
}

// table writes a table, mostly of codes that an element may have.
func (p *probe) table(d *fhir.ElementDef) string {
	name := "T" + strconv.Itoa(len(p.files))
	f := &probeFile{head: "table: " + name + "\ncodes:\n"}
	for range 4 {
		code := pick(p, probeTexts)
		if b := d.Binding; b != nil && p.IntN(40) > 0 {
			code = pick(p, b.Codes)
		}
		f.items = append(f.items, "  "+strconv.Quote(pick(p, probeTexts))+": "+strconv.Quote(code)+"\n")
	}
	p.files["tables/"+name+".yaml"] = f
	return name
}

func (p *probe) constant(d *fhir.ElementDef) string {
	switch {
	case d != nil && d.Binding != nil && p.IntN(6) > 0:
		return strconv.Quote(pick(p, d.Binding.Codes))
	case p.IntN(4) == 0:
		return pick(p, []string{"$One", "$Two"})
	}
	return strconv.Quote(pick(p, probeTexts))
}

// load strikes out what is at fault until the rest loads; nil when nothing is left.
func (p *probe) load(t *testing.T) *mapping.Set {
	t.Helper()
	for range 60 {
		layer := fstest.MapFS{}
		for name, f := range p.files {
			layer[name] = &fstest.MapFile{Data: []byte(f.text())}
		}
		set, err := mapping.Load(fs.FS(layer))
		if err == nil {
			return set
		}
		var faults mapping.Faults
		if !errors.As(err, &faults) {
			t.Fatal(err)
		}
		for _, f := range faults {
			name := strings.TrimPrefix(f.File, "maps/")
			file := p.files[name]
			if file == nil {
				continue // struck out for another fault of it
			}
			if !file.strike(f.Line) && name != "names.yaml" && name != "tables/CodingSystem.yaml" {
				delete(p.files, name)
			} else if name == "names.yaml" { // what nothing uses
				lines := strings.Split(file.head, "\n")
				lines[f.Line-1] = ""
				file.head = strings.Join(lines, "\n")
			} else if name == "tables/CodingSystem.yaml" && strings.Contains(f.Text, "never used") {
				delete(p.files, name)
			}
		}
	}
	return nil
}

// message gives a message of odd values.
func (p *probe) message() string {
	out := "MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||ADT^A01|1|P|2.4|||||||" + pick(p, probeTexts)
	for _, seg := range probeSegments {
		for range p.IntN(3) {
			out += "\r" + seg
			for range 25 {
				out += "|"
				for rep := range p.IntN(3) {
					if rep > 0 {
						out += "~"
					}
					for comp := range 1 + p.IntN(6) {
						if comp > 0 {
							out += "^"
						}
						if p.IntN(3) > 0 {
							out += pick(p, probeTexts)
						}
					}
				}
			}
		}
	}
	return out
}

// String gives the maps as they loaded.
func (p *probe) String() string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		fmt.Fprintf(&out, "-- %s --\n%s", name, strings.ReplaceAll(p.files[name].text(), "\n\n", "\n"))
	}
	return out.String()
}
