package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/fixtures"
)

// Every conversation of the story ends as it should, and everybody receives in it what fixtures/story says. UPDATE=1 writes
// that anew.
func TestStory(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	for p := range played(t.Context(), conversations()) {
		t.Run(p.name, func(t *testing.T) {
			if p.err != nil {
				t.Fatalf("%v\n%s\nits log:\n%s", p.err, p.out.Bytes(), p.log.Bytes())
			}
			noPatients(t, "the log", p.log.Bytes())
			got := p.fixture()
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(filepath.Join("..", "fixtures", "story", p.name+".txtar"), txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := fixtures.Story(p.name)
			if diff := cmp.Diff(string(txtar.Format(want)), string(txtar.Format(got))); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}
