package mapping_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/fixtures/corpus"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// TestCorpusFilesArrive decodes the files in OBX-5 of every message that a map takes with a reader of its own, and
// looks for each by its SHA-256 among the Media and DocumentReferences of the Bundle. Translated again, the message
// gives the same bytes.
func TestCorpusFilesArrive(t *testing.T) {
	messages, sent, arrived := 0, 0, 0
	for name, raw := range corpus.HL7v2() {
		m, err := hl7.Parse(raw)
		if err != nil {
			continue // mapping/hl7 tests what it refuses
		}
		res, err := shippedSet(t).ToFHIR(m, corpusOptions(t))
		if err != nil {
			continue // no map: TestCorpusAccountsForEveryLeaf counts them
		}
		bundle := compact(t, res.Bundle.Root)
		got := map[string]int{}
		for _, f := range res.Files {
			if n := f.Element.Type().Name; n == "Media" || n == "DocumentReference" {
				got[hash(content(f))]++
			}
		}
		want := embedded(raw)
		for _, file := range want {
			sent++
			if sum := hash(file); got[sum] > 0 {
				got[sum]--
				arrived++
			} else {
				t.Errorf("%s: a file of %d bytes is lost: %v", name, len(file), res.Issues)
			}
		}
		if len(want) > 0 {
			messages++
		}
		again, err := shippedSet(t).ToFHIR(m, corpusOptions(t))
		if err != nil || !bytes.Equal(bundle, compact(t, again.Bundle.Root)) {
			t.Errorf("%s: the second time it is another Bundle (%v)", name, err)
		}
	}
	t.Logf("%d messages with files, %d files, %d arrived", messages, sent, arrived)
	if messages == 0 {
		t.Error("no message with a file in the corpus")
	}
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// embedded gives the base64 files in OBX-5 of a message, found by the simplest means: lines, bars, tildes, hats.
func embedded(raw []byte) [][]byte {
	text := strings.ReplaceAll(strings.ReplaceAll(string(raw), "\r\n", "\r"), "\n", "\r")
	at := strings.Index(text, "MSH")
	if at < 0 || len(text) < at+8 {
		return nil
	}
	bar, hat, tilde, escape := text[at+3:at+4], text[at+4:at+5], text[at+5:at+6], text[at+6:at+7]
	var out [][]byte
	for _, line := range strings.Split(text[at:], "\r") {
		fields := strings.Split(line, bar)
		if fields[0] != "OBX" || len(fields) < 6 {
			continue
		}
		for _, rep := range strings.Split(fields[5], tilde) {
			parts := strings.Split(rep, hat)
			if len(parts) < 5 || !strings.EqualFold(parts[3], "base64") {
				continue
			}
			code := parts[4]
			for _, gap := range []string{" ", escape + ".br" + escape, escape + "X0D" + escape, escape + "X0A" + escape} {
				code = strings.ReplaceAll(code, gap, "")
			}
			if b, err := base64.StdEncoding.DecodeString(code); err == nil && len(b) > 0 {
				out = append(out, b)
			}
		}
	}
	return out
}
