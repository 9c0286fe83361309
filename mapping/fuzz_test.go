package mapping_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/dermgate/dermgate/mapping/maps"
)

// seeds gives a part of every case, filled with its photos.
func seeds(f *testing.F, name string) (out [][]byte) {
	f.Helper()
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if in := part(a, name); in != nil {
			out = append(out, filled(f, string(in)))
		}
	}
	return out
}

// FuzzToFHIR translates anything: it ends, the leaves add up, what comes out is valid and the same again, and a message it
// becomes can be read. No fault is the gateway's own.
func FuzzToFHIR(f *testing.F) {
	for _, in := range seeds(f, "in.hl7") {
		f.Add(bytes.ReplaceAll(bytes.TrimSpace(in), []byte("\n"), []byte("\r")), false)
	}
	samples, _ := filepath.Glob("testdata/messages/*.hl7")
	for _, file := range samples {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, enforce bool) {
		m, err := hl7.Parse(raw)
		if err != nil {
			return // mapping/hl7 fuzzes what it refuses
		}
		o := options(t)
		o.Enforce, o.Trace, o.Profile = enforce, enforce, true
		res, err := shippedSet(t).ToFHIR(m, o)
		if err != nil {
			own(t, err)
			return
		}
		defer res.Release()
		holdsAll(t, m, res)
		first := bytes.Clone(compact(t, res.Bundle.Root))
		again, err := shippedSet(t).ToFHIR(m, o)
		if err != nil || !bytes.Equal(first, compact(t, again.Bundle.Root)) {
			t.Errorf("the same message gave other bytes: %v", err)
		}
		goesOut(t, again.Bundle, again.Files)
	})
}

// holdsAll checks what holds of every translation.
func holdsAll(t *testing.T, m *hl7.Message, res *mapping.Result) {
	t.Helper()
	want := 0
	for _, v := range m.Leaves() {
		if v.Valued() {
			want++
		}
	}
	if c := res.Leaves; c.Valued != want || c.Valued != c.Mapped+c.Ignored+c.Unmapped || c.Unmapped != len(res.Unmapped) {
		t.Errorf("the leaves do not add up: %+v, the parser sees %d", c, want)
	}
	if l := fhir.Validate(res.Bundle.Root); len(l) > 0 {
		t.Errorf("invalid: %v", l)
	}
	unmarked(t, compact(t, res.Bundle.Root))
	for _, i := range res.Issues {
		own(t, i)
	}
}

// own fails for a fault of our own.
func own(t *testing.T, err error) {
	t.Helper()
	if i := issue.From(err); i.Kind == issue.Internal {
		t.Errorf("%v (%v)", i, errors.Unwrap(i))
	}
}

// goesOut writes a Bundle as every message there is: each is one that can be read, in a character set that has its letters.
func goesOut(t *testing.T, b *fhir.Bundle, files []mapping.File) {
	t.Helper()
	for _, form := range []string{"REF_I12", "RRI_I12", "RRI_I14", "ORU_R01", "MDM_T02", "MDM_T10", "MDM_T02-Photo", "ADT_A28"} {
		for _, set := range []string{"UNICODE UTF-8", "8859/1"} {
			o := outOptions(t, form, files)
			o.Charset, o.Version, o.Lengths = set, "2.3", set == "8859/1"
			out, issues, err := shippedSet(t).ToHL7(b, o)
			if err != nil {
				if !errors.Is(err, os.ErrNotExist) {
					own(t, err)
				}
				continue
			}
			for _, i := range issues {
				own(t, i)
			}
			raw, err := out.Bytes()
			if err != nil {
				t.Errorf("%s: %v", form, err)
				continue
			}
			m, err := hl7.Parse(raw)
			if err != nil {
				t.Errorf("%s is none: %v\n%q", form, err, raw)
				continue
			}
			if l := m.CheckCharset(); l.Worst() != nil {
				t.Errorf("%s in %s: %v", form, set, l)
			}
		}
	}
}

// FuzzToHL7 writes any Bundle that the reader takes.
func FuzzToHL7(f *testing.F) {
	for _, name := range []string{"in.json", "want.json"} {
		for _, in := range seeds(f, name) {
			f.Add(in)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		root, issues := fhir.Read(raw, fhir.ReadOptions{NoJudge: true})
		if issues.Worst() != nil || root.Type().Name != "Bundle" {
			return // mapping/fhir fuzzes what it refuses
		}
		goesOut(t, &fhir.Bundle{Root: root}, nil)
	})
}

// longestLoad is how long a map file of the fuzzer may keep its reader, on a machine that does much else. What it must not do
// is take a minute.
const longestLoad = 20 * time.Second

// FuzzMaps loads any text as each kind of map file over the shipped ones: there are faults at places, or a set that
// translates a message.
func FuzzMaps(f *testing.F) {
	kinds := []string{"segments/PID[Patient].yaml", "messages/REF_I12.yaml", "messages/Bundle[REF_I12].yaml", "datatypes/CX[Identifier].yaml",
		"tables/AdministrativeSexUK.yaml", "names.yaml", "senders/royal.yaml", "segments/Media[OBX].yaml"}
	for n, kind := range kinds {
		if b, err := fs.ReadFile(maps.FS, kind); err == nil {
			f.Add(n, b)
		}
	}
	bad, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(bad) == 0 {
		f.Fatalf("no bad maps: %v", err)
	}
	if flag.Lookup("test.fuzz").Value.String() == "" {
		bad = nil // TestBadMaps loads them
	}
	for _, file := range bad {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range a.Files {
			for n, kind := range kinds {
				if strings.HasPrefix(part.Name, filepath.Dir(kind)+"/") || part.Name == kind {
					f.Add(n, part.Data)
				}
			}
		}
	}
	m := "MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||REF^I12^REF_I12|AG0001|P|2.4\rRF1|P|R|DERM|||R1^EMIS\rPID|1||9990001014^^^NHS^NH||Testcase^Rosalind||19680412|2\r"
	f.Fuzz(func(t *testing.T, n int, text []byte) {
		kind := kinds[max(n, -n, 0)%len(kinds)]
		begin := time.Now()
		set, err := mapping.Load(maps.FS, fstest.MapFS{kind: {Data: text}})
		if took := time.Since(begin); took > longestLoad {
			t.Errorf("took %v to load", took)
		}
		if err != nil {
			var faults mapping.Faults
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("no faults, but %v", err)
			}
			for _, fault := range faults {
				if fault.Line < 1 || fault.Col < 1 || fault.Text == "" {
					t.Errorf("a fault at no place: %+v", fault)
				}
			}
			return
		}
		in, err := hl7.Parse([]byte(m))
		if err != nil {
			t.Fatal(err)
		}
		o := options(t)
		if len(set.Senders()) > 0 {
			o.Sender = set.Senders()[0]
		}
		res, err := set.ToFHIR(in, o)
		if err != nil {
			own(t, err)
			return
		}
		holdsAll(t, in, res)
		for _, form := range []string{"REF_I12"} {
			if _, _, err := set.ToHL7(res.Bundle, outOptions(t, form, res.Files)); err != nil {
				own(t, err)
			}
		}
	})
}
