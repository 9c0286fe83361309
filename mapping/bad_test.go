package mapping_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/maps"
)

// TestBadMaps loads each broken site map over the shipped ones: every fault must be told at its own place,
// in the words of the file "want".
func TestBadMaps(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	if len(files) < 15 {
		t.Fatalf("%d broken maps, want at least 15", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			layer := fstest.MapFS{}
			for _, f := range a.Files {
				if f.Name != "want" {
					layer[f.Name] = &fstest.MapFile{Data: f.Data}
				}
			}
			_, err = mapping.Load(maps.FS, layer)
			var faults mapping.Faults
			if !errors.As(err, &faults) {
				t.Fatalf("loaded, or another error: %v", err)
			}
			if os.Getenv("UPDATE") != "" {
				setPart(a, "want", []byte(faults.Error()+"\n"))
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.TrimSpace(string(part(a, "want"))), faults.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
