package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml/ast"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// Set is a compiled set of maps. It may be used from several goroutines at once.
type Set struct {
	digest  string
	events  map[string]*message    // into FHIR, by "REF^I12"
	codes   map[string]bool        // message codes that have any map
	outputs map[string]*outMessage // out of FHIR, by "RRI_I12"
	sources map[string]*source     // every map as written, by name
	tables  map[string]*table
	names   *names
	senders map[string]*Set // this set as each sender's overlay has it
	notes   Faults
	runs    sync.Pool // of *run
}

// Digest is the SHA-256 of everything the set was made from, hex: two sets of one digest translate alike.
func (s *Set) Digest() string { return s.digest }

// Notes are what is no fault and may not be meant, such as a rule of a site that leaves a shipped one nothing to do.
func (s *Set) Notes() Faults { return s.notes }

// Load compiles map files: the shipped ones (maps.FS) first, then a site's own. A later file replaces the
// earlier one of its name, or adds to it where it says extend: true. Hidden ones are left out. The error is Faults: all that is wrong,
// at file:line:col.
func Load(layers ...fs.FS) (*Set, error) {
	f := &faults{}
	sources, overlays, names, digest := readLayers(layers, f)
	c := &compiler{faults: f, schema: fhir.R4(), names: names, tables: buildTables(sources, f),
		sources: merge(sources, f), programs: map[string]*program{}, reversed: map[string]*reverse{},
		used: map[string]bool{}, shapes: map[*program]*shape{}, needs: &needs{of: map[string]map[string]bool{}}}
	c.exprs = newExprs(f, c.tables)
	c.exprs.needs = c.needs
	s := &Set{digest: digest, events: map[string]*message{}, codes: map[string]bool{}, outputs: map[string]*outMessage{}}
	c.all(s)
	s.senders = map[string]*Set{}
	for _, name := range keys(overlays) {
		s.senders[name] = c.sender(s, overlays[name])
	}
	if len(f.list) == 0 { // else most of it only looks unused
		c.unused(len(layers) - 1)
	}
	if len(f.list) > 0 {
		return nil, f.list.sorted()
	}
	s.sources, s.tables, s.names, s.notes = c.sources, c.tables, names, f.notes.sorted()
	return s, nil
}

// readLayers reads every file of every layer, in order.
func readLayers(layers []fs.FS, f *faults) ([]*source, map[string]*overlay, *names, string) {
	var sources []*source
	overlays := map[string]*overlay{}
	n := &names{systems: map[string]text{}, extensions: map[string]extension{}, used: map[string]bool{}}
	h := sha256.New()
	for i, layer := range layers {
		err := fs.WalkDir(layer, ".", func(name string, d fs.DirEntry, err error) error {
			if err == nil && Hidden(name) && d.IsDir() {
				return fs.SkipDir
			}
			if err == nil && !d.IsDir() && !Hidden(name) && (path.Ext(name) == ".yml" || path.Ext(name) == ".YAML") {
				f.add(pos{file: name, line: 1, col: 1, layer: i}, "not read: the names of maps end in .yaml")
			}
			if err != nil || d.IsDir() || Hidden(name) || path.Ext(name) != ".yaml" {
				return err
			}
			b, err := fs.ReadFile(layer, name)
			if err != nil {
				return err
			}
			h.Write([]byte(name + "\x00"))
			h.Write(b)
			r := &reader{layer: i, file: name, faults: f}
			if path.Base(name) == "names.yaml" {
				r.names(b, n)
				return nil
			}
			if path.Base(path.Dir(name)) == overlayFolder {
				o := r.overlay(b)
				overlays[o.name.s] = o
				return nil
			}
			sources = append(sources, r.read(b))
			return nil
		})
		if err != nil {
			f.add(pos{file: ".", line: 1, col: 1, layer: i}, "cannot be read: %s", err)
		}
	}
	return sources, overlays, n, hex.EncodeToString(h.Sum(nil))
}

// Hidden tells a file or folder that is none of a site's maps: its name begins with a dot, as those of
// editors' locks, version control and mounted volumes do.
func Hidden(name string) bool {
	base := path.Base(name)
	return base != "." && strings.HasPrefix(base, ".")
}

// names reads the systems and extensions that maps speak of by name.
func (r *reader) names(b []byte, n *names) {
	for _, p := range r.parse(b) {
		switch p.key.s {
		case "systems":
			for _, s := range r.pairs(p.value) {
				n.systems[s.key.s] = r.uri(s.value)
			}
		case "extensions":
			for _, x := range r.pairs(p.value) {
				n.extensions[x.key.s] = r.extension(x)
			}
		default:
			r.unknown(p.key, namesKeys)
		}
	}
}

// uri reads the uri of a system or extension.
func (r *reader) uri(n ast.Node) text {
	t, ok := r.scalar(n)
	if ok && (!uriType().Fits(t.s) || !strings.Contains(t.s, ":")) {
		r.faults.add(t.at, "%q is no uri: want one such as https://royal.example/mrn or urn:oid:2.16.840.1", t.s)
	}
	return t
}

// extension reads "ersPriority: {url: …, value: code}".
func (r *reader) extension(p pair) extension {
	x := extension{at: p.key.at}
	var typ text
	for _, k := range r.pairs(p.value) {
		switch k.key.s {
		case "url":
			x.url = r.uri(k.value)
		case "value":
			typ, _ = r.scalar(k.value)
		default:
			r.unknown(k.key, extensionKeys)
		}
	}
	t, _ := fhir.R4().Datatype("Extension")
	if typ.s != "" {
		x.value, _ = t.Element("value" + strings.ToUpper(typ.s[:1]) + typ.s[1:])
	}
	if x.value == nil || x.url.s == "" {
		r.faults.add(p.key.at, "an extension needs its url and the type of its value, such as {url: https://…, value: code}")
		x.value, _ = t.Element("valueString")
	}
	return x
}

// merge gives the maps by name, later ones over earlier ones.
func merge(sources []*source, f *faults) map[string]*source {
	out := map[string]*source{}
	for _, s := range sources {
		if s.name.s == "" || len(s.tables) > 0 {
			continue
		}
		before := out[s.name.s]
		if !s.extend || before == nil {
			if before != nil && s.name.at.layer > 0 {
				f.note(s.name.at, "%s takes the place of the one at %s, whole; extend: true adds to it", s.name.s, before.name.at.seen(s.name.at))
			}
			if s.extend {
				f.add(s.name.at, "there is no map %s to extend%s", s.name.s, meant(s.name.s, keys(out)))
			}
			out[s.name.s] = s
			continue
		}
		both := *before
		both.rules = append(slices.Clone(s.rules), before.rules...)
		both.checks = append(slices.Clone(s.checks), before.checks...)
		both.ignore = append(slices.Clone(s.ignore), before.ignore...)
		both.groups = joinGroups(before.groups, s.groups, f)
		both.segments = append(slices.Clone(before.segments), s.segments...)
		both.early = append(slices.Clone(before.early), s.early...)
		both.events = append(slices.Clone(before.events), s.events...)
		both.snapshot = append(slices.Clone(before.snapshot), s.snapshot...)
		out[s.name.s] = &both
	}
	return out
}

// joinGroups adds the resources of an extending message map: one of a name that is there has more maps and links then.
func joinGroups(before, more []srcGroup, f *faults) []srcGroup {
	out := slices.Clone(before)
	for _, g := range more {
		i := slices.IndexFunc(before, func(b srcGroup) bool { return b.name.s == g.name.s })
		if i < 0 {
			out = append(out, g)
			continue
		}
		if g.typ.s != out[i].typ.s {
			f.add(g.typ.at, "%s is a %s in the map that this one extends", g.name.s, out[i].typ.s)
		}
		for _, said := range []text{g.each, g.where, g.key} {
			if said.s != "" {
				f.add(said.at, "the map that this one extends says for which segments there is a resource %s", g.name.s)
			}
		}
		out[i].maps = append(slices.Clone(out[i].maps), g.maps...)
		out[i].link = append(slices.Clone(out[i].link), g.link...)
	}
	return out
}

// all compiles every map; a message map pulls in those it uses.
func (c *compiler) all(s *Set) {
	c.cycles()
	for _, name := range keys(c.sources) {
		src := c.sources[name]
		switch {
		case src.from == "Bundle" && src.to != "" && !isSegment(src.to):
			s.outputs[strings.TrimSuffix(strings.TrimPrefix(src.name.s, "Bundle["), "]")] = c.outMessage(src)
		case src.to == "":
			m := c.message(src)
			for _, e := range src.events {
				if s.events[e.s] != nil {
					c.faults.add(e.at, "%s already has the map %s", e.s, s.events[e.s].name)
				}
				s.events[e.s] = m
				code, _, _ := strings.Cut(e.s, "^")
				s.codes[code] = true
			}
		}
	}
	for _, name := range keys(c.sources) {
		src := c.sources[name]
		switch {
		case src.to == "" || src.from == "Bundle" && !isSegment(src.to):
		case isSegment(src.from) || isDatatype(src.from):
			c.compile(src)
		case isSegment(src.to) || isDatatype(src.to):
			c.reverse(src)
		default:
			c.faults.add(src.name.at, "%s is neither from nor to HL7: one side names a segment or data type%s", name,
				meant(src.from, append(hl7.Segments(), "CX", "XPN", "CWE")))
		}
	}
}

// unused reports tables, maps and extensions of a layer that nothing asks for: what an engineer wrote and believes to
// be at work. A shipped one may well have nobody who asks for it since a site's map took the place of its own.
func (c *compiler) unused(layer int) {
	for _, name := range keys(c.tables) {
		if t := c.tables[name]; !t.used && t.at.layer == layer {
			c.faults.add(t.at, "table %s is never used", name)
		}
	}
	for _, name := range keys(c.sources) {
		s := c.sources[name]
		if s.to != "" && !c.used[name] && s.name.at.layer == layer && (s.from != "Bundle" || isSegment(s.to)) {
			c.faults.add(s.name.at, "map %s is never used", name)
		}
	}
	for _, name := range keys(c.names.systems) {
		if at := c.names.systems[name].at; at.layer > 0 && !c.names.used[name] { // the gateway itself names some of the shipped ones
			c.faults.add(at, "system %s is never used", name)
		}
	}
	for _, name := range keys(c.names.extensions) {
		if at := c.names.extensions[name].at; !c.names.used[name] && at.layer == layer {
			c.faults.add(at, "extension %s is never used", name)
		}
	}
}
