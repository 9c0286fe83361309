package mapping_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// TestLinesAreSplitAndNeverCut: with a limit on the place of a line, its pieces are segments of the same kind, none is
// longer, and joined they are the line, whatever it is made of.
func TestLinesAreSplitAndNeverCut(t *testing.T) {
	for _, advised := range []string{words, strings.Repeat("A long line of advice. ", 200), strings.Repeat("é", 500), "short", " leading", strings.Repeat("x|y ", 60) + "\nsecond"} {
		for _, c := range []struct{ form, place, segment, code string }{
			{"RRI_I12", "NTE-3", "NTE", ""}, {"ORU_R01", "OBX-5", "OBX", "ADVICE"}, {"MDM_T02", "OBX-5", "OBX", "ADVICE"},
		} {
			for _, most := range []int{1, 20, 200} {
				res := translate(t, message(t, advice), options(t))
				answered(t, res, answer{status: "REFERRER_TO_REVIEW_RESPONSE", text: advised})
				o := outOptions(t, c.form, res.Files)
				o.Limits = []hl7.Limit{{At: hl7.MustPath(c.place), Characters: most}}
				m, issues, err := written(t, res, o)
				if err != nil || len(issues) > 0 {
					t.Fatal(c.form, err, issues)
				}
				var got strings.Builder
				for _, s := range m.All() {
					if s.Name() != c.segment || c.code != "" && s.Field(3).Component(1).Text() != c.code {
						continue
					}
					text := s.Field(hl7.MustPath(c.place).Field()).Text()
					if utf8.RuneCountInString(text) > most {
						t.Errorf("%s: a piece of %d characters, at most %d", c.form, utf8.RuneCountInString(text), most)
					}
					got.WriteString(text)
				}
				if want := strings.ReplaceAll(advised, "\n", ""); got.String() != want {
					t.Errorf("%s, %d characters: joined they are %.60q, want %.60q", c.form, most, got.String(), want)
				}
			}
		}
	}
}

// TestWhatIsTooLongIsRefusedAtItsPlace: all but lines of text; photos have limits of their own.
func TestWhatIsTooLongIsRefusedAtItsPlace(t *testing.T) {
	res := translate(t, message(t, advice), options(t))
	for _, c := range []struct {
		place      string
		characters int
		where      string
	}{
		{"PID-5.1", 7, "PID-5.1"}, {"PID-5.1", 8, ""}, {"OBX-5", 7, "OBX-5"}, {"OBX-5", 200, ""}, {"RF1-6", 3, "RF1-6"},
	} {
		o := outOptions(t, "REF_I12", res.Files)
		o.Limits = []hl7.Limit{{At: hl7.MustPath(c.place), Characters: c.characters}}
		_, _, err := written(t, res, o)
		trouble := issue.From(err)
		if c.where == "" && err != nil || c.where != "" && (trouble == nil || trouble.Kind != issue.TooLong || trouble.Where != c.where) {
			t.Errorf("%s of %d characters: %v, want it refused at %q", c.place, c.characters, err, c.where)
		}
	}
	o := outOptions(t, "REF_I12", res.Files)
	for version, where := range map[string]string{"2.3": "", "2.5.1": "PD1-3.3", "2.8": ""} { // XON.3 has 4 characters in 2.5
		o.Version, o.Lengths = version, true
		_, _, err := written(t, res, o)
		if trouble := issue.From(err); where == "" && err != nil || where != "" && (trouble == nil || trouble.Kind != issue.TooLong || trouble.Where != where) {
			t.Errorf("%s by its own lengths: %v, want it refused at %q", version, err, where)
		}
	}
}
