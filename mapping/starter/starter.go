// Package starter writes the first lines of a site's own map: what the grammar, the schema and the shipped maps have for
// it in comments, and a case beside it.
package starter

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// File is one file of a starter.
type File struct{ Name, Content string } // "segments/PID[Patient].yaml"

// Starter is what a site begins a map with.
type Starter struct {
	Map  File
	Use  *File // a message map that asks for Map; nil when one does already
	Case File  // with its input alone
}

var (
	named   = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_]*)\[([A-Za-z][A-Za-z0-9_]*)(?:-[A-Za-z]+)?\]$`)
	message = regexp.MustCompile(`^[A-Z][A-Z0-9]{2}_[A-Z][A-Z0-9]{2}$`)
	word    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
)

// job is a starter being written.
type job struct {
	set    *mapping.Set
	name   string
	from   string // of FROM[TO]
	to     string
	ships  bool // the set has the map: the site's adds to it
	file   strings.Builder
	folder string
}

// New gives the starter of a map by its name: PID[Patient], CX[Identifier], Patient[PID], ORU_R01, Bundle[RRI_I12] or
// the name of a table. The error says what is wrong with the name.
func New(set *mapping.Set, name string) (*Starter, error) {
	j := &job{set: set, name: name, ships: slices.Contains(set.Maps(), name)}
	if m := named.FindStringSubmatch(name); m != nil {
		return j.fromTo(m[1], m[2])
	}
	switch {
	case message.MatchString(name):
		return j.message()
	case segment(name) && !j.ships:
		return nil, fmt.Errorf("%s is a segment: say what it becomes, such as %s[Patient]", name, name)
	case word.MatchString(name):
		return j.table()
	}
	return nil, fmt.Errorf("%s: want FROM[TO] such as PID[Patient], a message such as ORU_R01, or a table's name", name)
}

// unknown says which side of a name nobody knows, and what it may have been meant to be.
func unknown(from, to string) string {
	var out string
	for _, s := range []string{from, to} {
		switch near := strings.ToUpper(s); {
		case segment(s) || datatype(s) || fhirType(s) != nil:
			continue
		case segment(near) || datatype(near):
			out += fmt.Sprintf("; %s is neither: did you mean %s?", s, near)
		default:
			out += "; " + s + " is neither"
			if r := issue.Nearest(s, append(fhir.R4().ResourceNames(), fhirTypes...)); r != "" {
				out += ": did you mean " + r + "?"
			} else if r := issue.Nearest(s, hl7.Segments()); r != "" {
				out += ": did you mean " + r + "?"
			}
		}
	}
	return out
}

// fhirTypes are the data types that maps are mostly written for.
var fhirTypes = []string{"Address", "Annotation", "CodeableConcept", "Coding", "ContactPoint", "HumanName", "Identifier", "Period", "Quantity", "Reference"}

func (j *job) fromTo(from, to string) (*Starter, error) {
	j.from, j.to = from, to
	switch {
	case from == "Bundle" && message.MatchString(to):
		return j.messageOut()
	case segment(from) && fhirType(to) != nil:
		return j.segmentMap(from, fhirType(to), false)
	case segment(to) && fhirType(from) != nil:
		return j.segmentMap(to, fhirType(from), true)
	case datatype(from) && fhirType(to) != nil:
		return j.datatypeMap(from, fhirType(to))
	case datatype(to) && fhirType(from) != nil:
		return j.datatypeMap(to, fhirType(from))
	}
	return nil, fmt.Errorf("%s: one side is an HL7 segment or data type (PID, CX), the other a FHIR resource or data type (Patient, Identifier)%s", j.name, unknown(from, to))
}

func segment(name string) bool {
	return len(name) == 3 && strings.ToUpper(name) == name && hl7.LookupSegment(name)
}

func datatype(name string) bool { _, ok := hl7.LookupDatatype(name); return ok }

func fhirType(name string) *fhir.Type {
	if t, ok := fhir.R4().Resource(name); ok {
		return t
	}
	t, _ := fhir.R4().Datatype(name)
	return t
}

// segmentMap begins a map of a segment, into FHIR or out of it.
func (j *job) segmentMap(seg string, typ *fhir.Type, back bool) (*Starter, error) {
	j.folder = "segments"
	j.head()
	j.line("# The fields of %s%s:", seg, j.with())
	j.fields(seg)
	j.elements(typ)
	rule := fmt.Sprintf("%s[1] -> %s: string", plainField(seg), j.textElement(typ))
	if back {
		rule = fmt.Sprintf("%s -> %s: string", j.textElement(typ), plainField(seg))
	}
	j.begin(rule)
	s := &Starter{}
	into, out := j.users()
	switch {
	case back && len(out) > 0:
		s.Case = j.caseOut(out[0].Name, seg)
	case back:
		s.Use = &File{"messages/Bundle[REF_I12].yaml", fmt.Sprintf("# Asks for %s.yaml: one %s for every %s of a referral.\nmap: Bundle[REF_I12]\nextend: true\nsegments:\n  - %s: %s\n",
			j.name, seg, typ.Name, seg, j.name)}
		s.Case = j.caseOut("Bundle[REF_I12]", seg)
	case len(into) > 0:
		s.Case = j.caseOf(into[0], seg)
	default:
		m := j.messageMap("REF_I12")
		s.Use = j.use(m, typ)
		s.Case = j.caseOf(m, seg)
	}
	s.Map = j.done()
	return s, nil
}

// use adds the map to a message: to its first resource of the type, else as a resource of its own.
func (j *job) use(m mapping.MessageMap, typ *fhir.Type) *File {
	text := fmt.Sprintf("# Asks for %s.yaml in %s; write the same into the other messages that bring the segment.\nmap: %s\nextend: true\nresources:\n",
		j.name, strings.Join(m.Events, ", "), m.Name)
	for _, g := range m.Groups {
		if g.Type == typ.Name {
			return &File{"messages/" + m.Name + ".yaml", text + fmt.Sprintf("  - %s: %s <- %s\n", g.Name, g.Type, j.name)}
		}
	}
	return &File{"messages/" + m.Name + ".yaml", text + fmt.Sprintf("  - %s: %s <- %s\n    each: %s\n", strings.ToLower(j.from), typ.Name, j.name, j.from)}
}

// datatypeMap begins a map of a data type, either way.
func (j *job) datatypeMap(name string, typ *fhir.Type) (*Starter, error) {
	j.folder = "datatypes"
	j.head()
	j.line("# The components of %s%s:", name, j.with())
	list, _ := hl7.LookupDatatype(name)
	for i, c := range list {
		j.place(fmt.Sprintf("%s.%d", name, i+1), c.Datatype, c.Name, c.Table, false)
	}
	j.elements(typ)
	rule := fmt.Sprintf("%s.1 -> %s: string", name, j.textElement(typ))
	if j.to == name {
		rule = fmt.Sprintf("%s -> %s.1: string", j.textElement(typ), name)
	}
	j.begin(rule)
	c := j.caseOf(j.messageMap("REF_I12"), "PID")
	if j.to == name {
		c = j.caseOut("Bundle[REF_I12]", "PID")
	}
	return &Starter{Map: j.done(), Case: c}, nil
}

// table begins a table.
func (j *job) table() (*Starter, error) {
	j.folder = "tables"
	i := slices.IndexFunc(j.set.Tables(), func(t mapping.TableInfo) bool { return t.Name == j.name })
	if j.ships = i >= 0; !j.ships {
		return nil, fmt.Errorf("%s: no map asks for this table: write a rule with table(%s) first, and begin the table by hand", j.name, j.name)
	}
	t := j.set.Tables()[i]
	j.line("# Codes of yours for the table %s. What it has:", j.name)
	j.line("#")
	if t.System != "" {
		j.line("#   system: %s", t.System)
	}
	for _, c := range t.Codes {
		j.line("#   %s: %s", quoted(c[0]), c[1])
	}
	if t.Otherwise != "" {
		j.line("#   otherwise: %s", t.Otherwise)
	}
	j.line("#\n# A code of yours goes before the one that stands there; whatever the case, it is found.")
	j.line("table: %s\nextend: true\n# codes:\n#   \"X\": %s", j.name, t.Codes[0][1])
	return &Starter{Map: j.done(), Case: j.caseOf(j.messageMap("REF_I12"), "PID")}, nil
}

func quoted(code string) string {
	if word.MatchString(code) {
		return code
	}
	return `"` + code + `"`
}

// message begins a message map into FHIR.
func (j *job) message() (*Starter, error) {
	j.folder = "messages"
	event := strings.Replace(j.name, "_", "^", 1)
	for _, m := range j.set.Messages() {
		if m.Name != j.name && slices.Contains(m.Events, event) {
			return nil, fmt.Errorf("%s: %s has the map %s: gateway new map %s", j.name, event, m.Name, m.Name)
		}
	}
	if j.ships {
		m := j.messageMap(j.name)
		j.line("# Resources of yours in %s. What it makes:", strings.Join(m.Events, ", "))
		j.groups(m)
		j.line("#\n# One of a name above gets more maps; one of another name is a resource of its own.")
		j.line("map: %s\nextend: true\n# resources:\n#   - %s: %s <- %s", j.name, m.Groups[len(m.Groups)-1].Name, m.Groups[len(m.Groups)-1].Type, "ZZZ["+m.Groups[len(m.Groups)-1].Type+"]")
		return &Starter{Map: j.done(), Case: j.caseOf(m, "")}, nil
	}
	j.line("# %s: which resources it makes, and how they refer to each other.", event)
	j.line("# More of them: look at the shipped message maps (mapping/maps/messages), and at the maps there are for a segment:")
	j.line("#   %s", strings.Join(j.segmentMaps(), "\n#   "))
	j.line("map: %s\nfor: [%s]\nexpect: {PID: 1}\nresources:", j.name, event)
	j.line("  - bundle: Bundle <- MSH[Bundle]")
	j.line("  - header: MessageHeader <- MSH[MessageHeader]\n    link: {focus: patient, sender: sender, \"destination[0].receiver\": receiver}")
	j.line("  - patient: Patient <- PID[Patient]")
	j.line("  - sender: Organization <- HD[Organization]\n    each: MSH-4\n  - receiver: Organization <- HD[Organization]\n    each: MSH-6")
	j.line("  - provenance: Provenance <- MSH[Provenance]\n    where: isTime(MSH-7)\n    link: {target: patient}")
	return &Starter{Map: j.done(), Case: j.caseOf(mapping.MessageMap{Name: j.name, Events: []string{event}}, "PID")}, nil
}

// segmentMaps lists the maps of segments into resources.
func (j *job) segmentMaps() []string {
	return slices.DeleteFunc(j.set.Maps(), func(name string) bool {
		m := named.FindStringSubmatch(name)
		return m == nil || !segment(m[1]) || m[2] == "Bundle"
	})
}

// messageOut begins a message map out of FHIR.
func (j *job) messageOut() (*Starter, error) {
	j.folder = "messages"
	if j.ships {
		m := j.messageMap(j.name)
		j.line("# Segments of yours behind those of %s. What it writes:", j.to)
		j.groups(m)
		j.line("#\nmap: %s\nextend: true\n# segments:\n#   - ZZZ: ServiceRequest[ZZZ]", j.name)
	} else {
		j.line("# %s: which segments it has, in this order, and what each is made from.", j.to)
		j.line("map: %s\nsegments:\n  - MSH: Bundle[MSH]\n  - PID: Patient[PID]", j.name)
	}
	return &Starter{Map: j.done(), Case: j.caseOut(j.name, "PID")}, nil
}

func (j *job) groups(m mapping.MessageMap) {
	j.line("#")
	for _, g := range m.Groups {
		j.line("#   %s: %s <- %s", g.Name, g.Type, strings.Join(g.Maps, ", "))
	}
}
