package mapping_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/cases"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// TestGolden runs the shipped cases, testdata/golden: a message in, and everything that comes of it. They are
// those of `gateway test`, by whose rules they run. UPDATE=1 rewrites what is expected.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*" + cases.Extension)
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), cases.Extension), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	c, err := cases.Read(os.DirFS("."), filepath.ToSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Source = "map" // as `gateway map` and `gateway test` have it
	came, err := c.Run(shippedSet(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, came.Updated(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := came.Diff(); diff != "" {
		t.Error(diff)
	}
	if !c.Wants("want.issues") || c.Wants("in.hl7") && !(c.Wants("want.json") && c.Wants("want.unmapped")) {
		t.Error("a shipped case says all that is wanted: want.json, want.issues, want.unmapped")
	}
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
