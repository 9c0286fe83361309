package mapping

import (
	"strings"
)

// slips are mistakes that CEL tells in its parser's words.
var slips = map[string]string{
	"token recognition error at: '= '": "one = : want ==",
	"input 'and' expecting":            "want && for and, || for or, ! for not",
	"input 'or' expecting":             "want && for and, || for or, ! for not",
	"input 'AND' expecting":            "want && for and, || for or, ! for not",
	"input 'OR' expecting":             "want && for and, || for or, ! for not",
	"applied to '(string, int)'":       `a text beside a number: put the number in quotes, or make the text one with int(…) or size(…)`,
	"applied to '(int, string)'":       `a text beside a number: put the number in quotes, or make the text one with int(…) or size(…)`,
}

// explain names the place instead of the name the place was given.
func (x *exprs) explain(message string, reads []variable, lex lexicon) (why string, slip bool) {
	if i := strings.Index(message, "undeclared reference to '"); i >= 0 {
		word, _, _ := strings.Cut(message[i+len("undeclared reference to '"):], "'")
		known := make([]string, 0, len(lex.fixed)+len(functions))
		for name := range lex.fixed {
			known = append(known, name)
		}
		for _, f := range functions {
			known = append(known, f.name)
		}
		near := meant(word, append(known, "listed", "after"))
		if near == "" {
			near = "; a text stands in quotes: \"" + word + "\""
		}
		return "no variable or function " + word + near, false
	}
	for sign, why := range slips {
		if strings.Contains(message, sign) {
			return why, true
		}
	}
	message, _, _ = strings.Cut(message, " expecting {")
	return message, false
}
