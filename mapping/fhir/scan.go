package fhir

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dermgate/dermgate/mapping/issue"
)

// scanner takes JSON apart (RFC 8259), strictly and in one pass. The first breach of the grammar is kept in
// syntax and ends everything: from then on nothing more is taken. Texts without escapes share the memory
// of s.
type scanner struct {
	s      string
	i      int
	depth  int
	most   int // objects and arrays within each other
	syntax *issue.Issue
}

// fail keeps the first breach, with its line and column (both from 1, columns in bytes).
func (c *scanner) fail(text string) {
	if c.syntax != nil {
		return
	}
	before := c.s[:min(c.i, len(c.s))]
	line := 1 + strings.Count(before, "\n")
	col := len(before) - strings.LastIndexByte(before, '\n')
	c.syntax = issue.New(issue.Structure, fmt.Sprintf("line %d, column %d", line, col), text)
}

// peek passes over white space and gives the next byte, 0 at the end or after a breach.
func (c *scanner) peek() byte {
	if c.syntax != nil {
		return 0
	}
	for ; c.i < len(c.s); c.i++ {
		switch b := c.s[c.i]; b {
		case ' ', '\t', '\n', '\r':
		default:
			return b
		}
	}
	return 0
}

func (c *scanner) want(b byte) bool {
	if c.peek() != b {
		c.fail("want " + strconv.QuoteRune(rune(b)))
		return false
	}
	c.i++
	return true
}

// open enters an object or array and close leaves it.
func (c *scanner) open(b byte) bool {
	if !c.want(b) {
		return false
	}
	if c.depth++; c.depth > c.most {
		c.fail(fmt.Sprintf("nested deeper than %d", c.most))
		return false
	}
	return true
}

func (c *scanner) close(b byte) {
	c.want(b)
	c.depth--
}

// more tells whether another member follows in what ends with end; n have been read.
func (c *scanner) more(end byte, n int) bool {
	b := c.peek()
	if n == 0 {
		return c.syntax == nil && b != end
	}
	if b != ',' {
		return false // close says what is wanted
	}
	c.i++
	if c.peek() == end {
		c.fail("a comma before the end")
	}
	return c.syntax == nil
}

// key reads a member's name and the colon.
func (c *scanner) key() string {
	if c.peek() != '"' {
		c.fail("want a key")
		return ""
	}
	k := c.str()
	c.want(':')
	return k
}

// skip passes over a value.
func (c *scanner) skip() {
	switch b := c.peek(); b {
	case '"':
		c.str()
	case '{', '[':
		end := b + 2 // '{' '}' and '[' ']' are two apart
		if !c.open(b) {
			return
		}
		for n := 0; c.more(end, n); n++ {
			if b == '{' {
				c.key()
			}
			c.skip()
		}
		c.close(end)
	default:
		c.literal()
	}
}

// literal reads true, false, null or a number, as written.
func (c *scanner) literal() string {
	c.peek()
	from := c.i
	for c.i < len(c.s) && strings.IndexByte("+-.0123456789abcdefghijklmnopqrstuvwxyzE", c.s[c.i]) >= 0 {
		c.i++
	}
	text := c.s[from:c.i]
	if text != "true" && text != "false" && text != "null" && !decimal(text) {
		c.i = from
		c.fail("no JSON value")
	}
	return text
}

// str reads a string.
func (c *scanner) str() string {
	c.i++
	from, ascii := c.i, true
	for ; c.i < len(c.s); c.i++ {
		switch b := c.s[c.i]; {
		case b == '"':
			text := c.s[from:c.i]
			if !ascii && !utf8.ValidString(text) {
				c.fail("text that is no UTF-8")
			}
			c.i++
			return text
		case b == '\\':
			return c.escaped(from)
		case b < ' ':
			c.fail("a control character in a string")
			return ""
		case b >= utf8.RuneSelf:
			ascii = false
		}
	}
	c.fail("a string without end")
	return ""
}

// escaped reads on a string that began at from and has an escape here.
func (c *scanner) escaped(from int) string {
	out := []byte(c.s[from:c.i])
	for c.i < len(c.s) && c.syntax == nil {
		switch b := c.s[c.i]; {
		case b == '"':
			if !utf8.Valid(out) {
				c.fail("text that is no UTF-8")
			}
			c.i++
			return string(out)
		case b == '\\':
			out = c.escape(out)
		case b < ' ':
			c.fail("a control character in a string")
		default:
			out = append(out, b)
			c.i++
		}
	}
	c.fail("a string without end")
	return ""
}

func (c *scanner) escape(out []byte) []byte {
	rest := c.s[c.i+1:]
	if rest == "" {
		c.fail("a string without end")
		return out
	}
	if at := strings.IndexByte(`"\/bfnrt`, rest[0]); at >= 0 {
		c.i += 2
		return append(out, "\"\\/\b\f\n\r\t"[at])
	}
	if rest[0] != 'u' {
		c.fail("an unknown escape")
		return out
	}
	return c.unicode(out)
}

// unicode reads \uXXXX, and the second half where the first is a surrogate. JSON's grammar lets half a
// character stand alone; readers turn it into different texts, so it is refused.
func (c *scanner) unicode(out []byte) []byte {
	r, ok := hex4(c.s[c.i:])
	n := 6
	if ok && utf16.IsSurrogate(r) {
		low, both := hex4(c.s[c.i+6:])
		r = utf16.DecodeRune(r, low)
		ok, n = both && r != utf8.RuneError, 12
	}
	if !ok {
		c.fail("half a character, or none")
		return out
	}
	c.i += n
	return utf8.AppendRune(out, r)
}

// hex4 reads \uXXXX at the beginning of s.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' || strings.ContainsAny(s[2:6], "_+-") {
		return 0, false
	}
	v, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(v), err == nil
}
