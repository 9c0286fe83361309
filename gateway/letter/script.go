package letter

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// A PDF shows glyphs where it is told to: joining Arabic letters, and setting right-to-left words from right to left, is
// for whoever writes it.

// glyphs tells which characters the font has.
var glyphs = sync.OnceValue(func() func(rune) bool {
	f, err := sfnt.Parse(fontFile)
	if err != nil {
		panic("letter: the embedded font cannot be read: " + err.Error()) // a test draws with it
	}
	var mu sync.Mutex
	var buffer sfnt.Buffer
	known := map[rune]bool{}
	return func(r rune) bool {
		mu.Lock()
		defer mu.Unlock()
		have, ok := known[r]
		if !ok {
			i, err := f.GlyphIndex(&buffer, r)
			have = err == nil && i != 0 && r <= 0xFFFF // fpdf writes no others
			known[r] = have
		}
		return have
	}
})

// printable gives a line of text in characters that the font has: composed, tabs as spaces, and in the place of one that
// it has not, its code point: [U+4E2D]. What no reader would see (marks of direction, soft hyphens) is left out.
func printable(s string) string {
	var w strings.Builder
	for _, r := range norm.NFC.String(s) {
		switch {
		case r == '\t':
			w.WriteString("    ")
		case r == joiner || r == nonJoiner:
			w.WriteRune(r) // they tell how letters join, and go then
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r):
		case unicode.IsSpace(r):
			w.WriteByte(' ')
		case glyphs()(r):
			w.WriteRune(r)
		default:
			fmt.Fprintf(&w, "[U+%04X]", r)
		}
	}
	return w.String()
}

const (
	nonJoiner = '\u200C'
	joiner    = '\u200D'
)

// forms are how an Arabic letter looks alone, at the end, the beginning and in the middle of what is joined; a letter that
// joins to the one before it only has the first two.
type forms []rune

// arabic are the letters of the presentation forms, and the ligatures of lam with an alef (Unicode: Arabic Presentation
// Forms-A up to U+FBB1, and -B). Their compatibility decompositions say which letter each is; the forms of a letter follow
// one another in that order.
var arabic = sync.OnceValue(func() map[string]forms {
	out := map[string]forms{}
	for _, span := range [][2]rune{{0xFB50, 0xFBB1}, {0xFBD3, 0xFBE9}, {0xFBFC, 0xFBFF}, {0xFE80, 0xFEFC}} {
		for r := span[0]; r <= span[1]; r++ {
			if letter := norm.NFKC.String(string(r)); letter != string(r) {
				out[letter] = append(out[letter], r)
			}
		}
	}
	return out
})

// joins tells whether a letter joins to the one after it.
func (f forms) joins() bool { return len(f) == 4 }

// shaped gives Arabic letters the forms that they have where they stand; others stay as they are.
func shaped(s string) string {
	text := []rune(s)
	var out []rune
	before := false // the letter before joins to this one
	for i := 0; i < len(text); i++ {
		r := text[i]
		if r == nonJoiner || r == joiner {
			before = r == joiner
			continue
		}
		f, n := arabic()[string(r)], 1
		if next := following(text, i+1); r == 'ل' && next < len(text) {
			if lig, ok := arabic()[string([]rune{r, text[next]})]; ok && next == i+1 {
				f, n = lig, 2
			}
		}
		if len(f) == 0 {
			out = append(out, r)
			before = before && unicode.Is(unicode.Mn, r)
			continue
		}
		next := following(text, i+n)
		after := f.joins() && next < len(text) && (text[next] == joiner || len(arabic()[string(text[next])]) > 1)
		form := f[0]
		switch {
		case before && after:
			form = f[3]
		case after:
			form = f[2]
		case before && len(f) > 1:
			form = f[1]
		}
		if !glyphs()(form) {
			form = r
		}
		out = append(out, form)
		before = f.joins()
		i += n - 1
	}
	return string(out)
}

// following gives the next place that is no mark over a letter.
func following(text []rune, i int) int {
	for i < len(text) && unicode.Is(unicode.Mn, text[i]) {
		i++
	}
	return i
}

// visual gives a line in the order in which it is seen from the left, and whether it is to stand at the right.
func visual(s string) (line string, right bool) {
	var p bidi.Paragraph
	if !strings.ContainsFunc(s, rightToLeft) {
		return s, false
	}
	if _, err := p.SetString(s); err != nil {
		return s, false
	}
	order, err := p.Order()
	if err != nil {
		return s, false
	}
	right = !p.IsLeftToRight()
	type run struct {
		text string
		rtl  bool
	}
	var runs []run
	for i := range order.NumRuns() {
		r := order.Run(i)
		if r.Direction() == bidi.RightToLeft {
			runs = append(runs, run{bidi.ReverseString(r.String()), true})
		} else {
			runs = append(runs, run{r.String(), false})
		}
	}
	if right {
		slices.Reverse(runs)
	} else { // what stands between two right-to-left runs and is a number belongs to them
		for i := 0; i < len(runs); {
			j := i + 1
			for runs[i].rtl && j+1 < len(runs) && runs[j+1].rtl && !strings.ContainsFunc(runs[j].text, unicode.IsLetter) {
				j += 2
			}
			slices.Reverse(runs[i:j])
			i = j
		}
	}
	var w strings.Builder
	for _, r := range runs {
		w.WriteString(r.text)
	}
	return w.String(), right
}

func rightToLeft(r rune) bool {
	p, _ := bidi.LookupRune(r)
	return p.Class() == bidi.R || p.Class() == bidi.AL
}
