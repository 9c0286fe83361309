package mapping

import (
	"regexp"
	"strconv"
	"strings"
)

// rewrite gives every place a name of the same length that CEL can read (the first place PID-3[2].1 becomes _0________), so
// that CEL's columns are the file's and rules that differ in their places alone share what CEL compiles, and collects what
// is read.
func (x *exprs) rewrite(t text, lex lexicon) (string, []variable, bool) {
	code, ok := []byte(t.s), true
	var reads []variable
	seen, names := map[string]bool{}, map[string]string{}
	note := func(v variable) {
		if !seen[v.name] {
			seen[v.name] = true
			reads = append(reads, v)
		}
	}
	for _, part := range outsideQuotes(t.s) {
		if lex.places == nil {
			break
		}
		for pos := part[0]; pos < part[1]; {
			m := lex.places.FindStringIndex(t.s[pos:part[1]])
			if m == nil {
				break
			}
			from, to := pos+m[0], pos+m[1]
			if to < len(t.s) && t.s[to] == '(' { // a method: PID-7.size()
				to = from + max(strings.LastIndexByte(t.s[from:to], '.'), 0)
			}
			v, why := lex.find(t.s[from:to])
			if why != "" {
				x.faults.add(t.at.plus(from), "%s", why)
				ok = false
			}
			if why != "" || v.text == nil && v.texts == nil { // no place: look on behind its first word
				for pos = from; pos < part[1] && wordByte(t.s[pos]); pos++ {
				}
				pos = max(pos, from+1)
				continue
			}
			v.name = standIn(names, t.s[from:to])
			copy(code[from:to], v.name)
			note(v)
			pos = to
		}
	}
	for _, word := range identifier.FindAllString(blankQuotes(string(code)), -1) {
		if v, known := lex.fixed[word]; known {
			v.name = word
			note(v)
		}
	}
	return string(code), reads, ok
}

// standIn gives a place its name in CEL: "_", its number among the places of the expression, and as many "_" as the place
// is long. A place too short for its number keeps its own letters.
func standIn(names map[string]string, place string) string {
	if name, ok := names[place]; ok {
		return name
	}
	name := "_" + strconv.Itoa(len(names))
	if len(name) > len(place) {
		name = notWord.ReplaceAllString(place, "_")
	}
	names[place] = name + strings.Repeat("_", len(place)-len(name))
	return names[place]
}

var notWord = regexp.MustCompile(`[^A-Za-z0-9_]`)

var identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// outsideQuotes gives the stretches of an expression that are not string literals.
func outsideQuotes(s string) [][2]int {
	var out [][2]int
	start, quote := 0, byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && c == quote:
			quote, start = 0, i+1
		case quote == 0 && (c == '"' || c == '\''):
			out, quote = append(out, [2]int{start, i}), c
		}
	}
	if quote == 0 {
		out = append(out, [2]int{start, len(s)})
	}
	return out
}

func blankQuotes(s string) string {
	out := []byte(strings.Repeat(" ", len(s)))
	for _, part := range outsideQuotes(s) {
		copy(out[part[0]:part[1]], s[part[0]:part[1]])
	}
	return string(out)
}
