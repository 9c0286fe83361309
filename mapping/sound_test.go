package mapping_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// TestSoundTextsAreWrittenLikeAnyOther: a Bundle whose texts a map or Validate has found sound is the same,
// byte for byte, as one that is read back and of whose texts nothing is known; and that one is valid too.
func TestSoundTextsAreWrittenLikeAnyOther(t *testing.T) {
	texts := []string{byReference}
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if in := part(a, "in.hl7"); in != nil {
			texts = append(texts, string(in))
		}
	}
	for _, text := range texts {
		res := translate(t, message(t, text), options(t))
		translated := compact(t, res.Bundle.Root)
		if issues := fhir.Validate(res.Bundle.Root); len(issues) > 0 {
			t.Fatal(issues)
		}
		if validated := compact(t, res.Bundle.Root); !bytes.Equal(translated, validated) {
			t.Errorf("written otherwise:\n%s\n%s", translated, validated)
		}
		unmarked(t, translated)
	}
}

// unmarked holds a Bundle that a map has made, and Validate has passed, against a validator and a writer that see none of
// what was marked as sound in it: they look at the same as it is read back. The bytes are those that it was written as.
func unmarked(t *testing.T, written []byte) {
	t.Helper()
	again, issues := fhir.Read(written, fhir.ReadOptions{NoJudge: true})
	if len(issues) > 0 {
		t.Errorf("refused when read back: %v\n%s", issues, written)
		return
	}
	unknown := compact(t, again)
	if issues := fhir.Validate(again); len(issues) > 0 {
		t.Errorf("invalid, which the marks have hidden: %v\n%s", issues, written)
	}
	if !bytes.Equal(written, unknown) || !bytes.Equal(written, compact(t, again)) {
		t.Errorf("written otherwise:\n%s\n%s", written, unknown)
	}
}

func compact(t *testing.T, root fhir.Element) []byte {
	t.Helper()
	out, err := fhir.AppendJSON(nil, root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
