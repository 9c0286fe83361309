package issue_test

import (
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

func TestNearest(t *testing.T) {
	known := []string{"listen", "tls", "Patient"}
	for word, want := range map[string]string{
		"lsiten": "listen", "Listen": "listen", "patientt": "Patient", "tsl": "tls", "zzz": "", "": "", "listening": "listen",
		"a word that is a good deal longer than all of them": "",
	} {
		if got := issue.Nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
	if got := issue.Nearest("x", nil); got != "" {
		t.Errorf("of nothing: got %q", got)
	}
}
