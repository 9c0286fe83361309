package mapping

import (
	"os"
	"regexp"
	"testing"
)

// TestLanguageIsDocumented holds LANGUAGE.md against the code: every function, conversion and variable is in it.
func TestLanguageIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("LANGUAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, f := range functions {
		words = append(words, f.name)
	}
	words = append(words, keys(conversions)...)
	words = append(words, keys(backConversions)...)
	words = append(words, keys(given)...)
	words = append(words, keys(written)...)
	for _, w := range words {
		if !regexp.MustCompile(`\b` + w + `\b`).Match(doc) {
			t.Errorf("LANGUAGE.md does not know %s", w)
		}
	}
}
