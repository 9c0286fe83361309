package mapping

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	yamlerr "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// text is a scalar of a map file and where its first character stands.
type text struct {
	s  string
	at pos
}

// pair is one "key: value" of a mapping.
type pair struct {
	key   text
	value ast.Node
}

// reader walks one file's YAML and says where it is not what it should be.
type reader struct {
	layer  int
	file   string
	faults *faults
}

func (r *reader) pos(line, col int) pos { return pos{r.file, line, col, r.layer} }

// parse gives the top-level pairs of a file.
func (r *reader) parse(b []byte) []pair {
	b = bytes.TrimPrefix(b, []byte("\ufeff")) // some editors write it
	if !utf8.Valid(b) {
		r.faults.add(r.notUTF8(b), "not UTF-8: save the file in that encoding")
		return nil
	}
	f, err := parser.ParseBytes(b, 0)
	if err != nil {
		at, why := r.pos(1, 1), "not YAML"
		var se yamlerr.Error
		if errors.As(err, &se) {
			why = plainly(se.GetMessage())
			if t := se.GetToken(); t != nil && t.Position != nil {
				at.line, at.col = t.Position.Line, t.Position.Column
			}
		}
		r.faults.add(at, "%s", why)
		return nil
	}
	switch {
	case len(f.Docs) == 0 || len(f.Docs) == 1 && f.Docs[0].Body == nil || len(f.Docs) == 1 && f.Docs[0].Body.Type() == ast.CommentType:
		r.faults.add(r.pos(1, 1), "the file is empty")
		return nil
	case len(f.Docs) > 1:
		r.faults.add(r.pos(1, 1), "one map a file: no second one behind ---")
		return nil
	}
	return r.pairs(f.Docs[0].Body)
}

// notUTF8 gives the place of the first byte that is no character.
func (r *reader) notUTF8(b []byte) pos {
	line, col := 1, 1
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		switch {
		case c == utf8.RuneError && n == 1:
			return r.pos(line, col)
		case c == '\n':
			line, col = line+1, 0
		}
		col++
		b = b[n:]
	}
	return r.pos(line, col)
}

// twice is what the parser says of a key that stands twice.
var twice = regexp.MustCompile(`^mapping key (".*") already defined at \[([0-9]+:[0-9]+)\]$`)

// plainly says what is wrong with YAML as an engineer would who has never read its specification.
func plainly(why string) string {
	switch m := twice.FindStringSubmatch(why); {
	case m != nil:
		return m[1] + " stands twice, first at " + m[2]
	case strings.Contains(why, "found character '\t'"), strings.Contains(why, "tab character"):
		return "a tab: YAML is indented with spaces"
	case strings.Contains(why, "mapping value is not allowed"):
		return `a second "key: value" where one value stands: look how the line below is indented, or put the value in quotes`
	}
	return why
}

// pairs of a mapping node, in order; a fault when it is none.
func (r *reader) pairs(n ast.Node) []pair {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		r.faults.add(r.at(n), "want key: value, one a line")
		return nil
	}
	out := make([]pair, 0, len(values))
	for _, v := range values {
		key, ok := r.scalar(v.Key)
		if !ok {
			continue
		}
		out = append(out, pair{key, v.Value})
	}
	return out
}

// items of a sequence node, in order; a fault when it is none.
func (r *reader) items(n ast.Node) []ast.Node {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		r.faults.add(r.at(n), `want a list: each of its items begins with "- "`)
		return nil
	}
	return s.Values
}

// at gives where a node begins: goccy's position of a mapping is that of its first colon.
func (r *reader) at(n ast.Node) pos {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return r.at(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return r.at(m.Key)
	}
	p := n.GetToken().Position
	return r.pos(p.Line, p.Column)
}

// scalar gives a node's text as written: 01 stays "01". The place is that of the first character inside
// quotes.
func (r *reader) scalar(n ast.Node) (text, bool) {
	at := r.at(n)
	switch s := n.(type) {
	case *ast.StringNode:
		if o := strings.TrimLeft(s.Token.Origin, " \n"); strings.HasPrefix(o, `"`) || strings.HasPrefix(o, `'`) {
			at = at.plus(1)
		}
		return text{s.Value, at}, true
	case *ast.LiteralNode:
		return text{strings.TrimSpace(s.Value.Value), r.at(s.Value)}, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return text{n.GetToken().Value, at}, true
	case *ast.MappingKeyNode:
		return r.scalar(s.Value)
	}
	switch n.(type) {
	case *ast.NullNode:
		r.faults.add(at, "a value is missing")
	case *ast.TagNode:
		r.faults.add(at, "what begins with ! needs quotes: '!…'")
	default:
		r.faults.add(at, "want a single value")
	}
	return text{s: "", at: at}, false
}

// texts of a list, or of a single value standing for a list of one.
func (r *reader) texts(n ast.Node) []text {
	if _, ok := n.(*ast.SequenceNode); !ok {
		t, ok := r.scalar(n)
		if !ok {
			return nil
		}
		return []text{t}
	}
	var out []text
	for _, item := range r.items(n) {
		if t, ok := r.scalar(item); ok {
			out = append(out, t)
		}
	}
	return out
}

// unknown reports a key that means nothing here.
func (r *reader) unknown(k text, known []named) {
	r.faults.add(k.at, "unknown key %q%s", k.s, meant(k.s, namesOf(known)))
}
