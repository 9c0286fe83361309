package mapping_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// TestGolden runs each conversation of testdata/golden: message.hl7 in, and everything that comes of it.
// UPDATE=1 rewrites what is expected.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	res := translate(t, message(t, string(part(a, "message.hl7"))), options(t))
	got := map[string][]byte{}
	var bundle bytes.Buffer
	if err := fhir.WriteIndented(&bundle, res.Bundle.Root); err != nil {
		t.Fatal(err)
	}
	digest := []byte(shippedSet(t).Digest())
	got["bundle.json"] = append(bytes.ReplaceAll(bytes.TrimSpace(bundle.Bytes()), digest, []byte("(map set)")), '\n')
	got["issues"] = []byte(joinLines(issuesOf(res)))
	var unmapped []string
	for _, p := range res.Unmapped {
		unmapped = append(unmapped, p.String())
	}
	got["unmapped"] = []byte(joinLines(unmapped))
	for _, form := range []string{"RRI_I12", "ORU_R01", "REF_I12"} {
		if part(a, form+".hl7") != nil {
			got[form+".hl7"] = written(t, res, form)
		}
	}
	for name, b := range got {
		if os.Getenv("UPDATE") != "" {
			setPart(a, name, b)
			continue
		}
		if diff := cmp.Diff(string(part(a, name)), string(b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// written gives the Bundle as an HL7 v2 message, a segment a line.
func written(t *testing.T, res *mapping.Result, form string) []byte {
	t.Helper()
	out, issues, err := shippedSet(t).ToHL7(res.Bundle, outOptions(t, form, res.Files))
	if err != nil || len(issues) > 0 {
		t.Fatalf("%s: %v %v", form, err, issues)
	}
	b, err := out.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte("\r"), []byte("\n"))
}

func outOptions(t *testing.T, form string, files []mapping.File) mapping.Out {
	return mapping.Out{
		Message: form, ControlID: "DG00000001", At: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Zone: london(t),
		Sender: mapping.Party{App: "DERMGATE", Facility: "RXX01"}, Receiver: mapping.Party{App: "EMIS", Facility: "Y06601"},
		Files: func(sha string) (fhir.Data, error) {
			for _, f := range files {
				if f.SHA256 == sha {
					return fhir.Data{Size: f.Content.Size(), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content(f))), nil }}, nil
				}
			}
			return fhir.Data{}, os.ErrNotExist
		},
	}
}

// content gives a file's bytes.
func content(f mapping.File) []byte {
	b, err := io.ReadAll(io.NewSectionReader(f.Content, 0, f.Content.Size()))
	if err != nil {
		panic(err)
	}
	return b
}

func joinLines(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list, "\n") + "\n"
}

func part(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func setPart(a *txtar.Archive, name string, data []byte) {
	for i := range a.Files {
		if a.Files[i].Name == name {
			a.Files[i].Data = data
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: data})
}
