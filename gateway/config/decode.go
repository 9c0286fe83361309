package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxFile is the size of a configuration file that is certainly a mistake, in bytes.
const maxFile = 1 << 20

// position of a key's value (or of the key, when it has none), 1-based.
type position struct{ line, col int }

// decoder walks the syntax tree of one file. It goes on after a fault, so that one run shows them all.
type decoder struct {
	file   string
	env    func(string) (string, bool)
	faults Faults
	at     map[string]position // by path: "sources[0].listen"
	files  map[string]string   // files and folders that must be there, by path of the key that names them
	known  func(path string)   // when set, is told every key that an object of the file may have
}

// node is a value of the file and the path that leads to it.
type node struct {
	ast.Node
	path string
}

// key gives the last part of the path, the name a person knows the value by.
func (n node) key() string { return n.path[strings.LastIndexByte(n.path, '.')+1:] }

// keys are the keys an object may have, each with the reader of its value.
type keys map[string]func(node)

func (k keys) names() []string {
	names := make([]string, 0, len(k))
	for name := range k {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// root parses the file; false when there is nothing to decode.
func (d *decoder) root(b []byte) (node, bool) {
	if len(b) > maxFile {
		return node{}, d.fault(position{1, 1}, "a configuration file is at most 1 MiB")
	}
	f, err := parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey()) // duplicates are found by object, all of them
	var syntax *yaml.SyntaxError
	switch {
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		return node{}, d.fault(tokenPosition(syntax.GetToken()), "not YAML: %s", syntax.GetMessage())
	case err != nil:
		return node{}, d.fault(position{1, 1}, "not YAML")
	case len(f.Docs) == 0 || f.Docs[0].Body == nil:
		return node{}, d.fault(position{1, 1}, "empty: nothing is configured")
	case len(f.Docs) > 1:
		d.fault(tokenPosition(f.Docs[1].Start), "a second document: a configuration is one")
	}
	return node{Node: f.Docs[0].Body}, true
}

func tokenPosition(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{t.Position.Line, t.Position.Column}
}

// where gives the place a person would point at: of a block mapping that is its first key, where the
// parser names the colon behind it.
func where(n ast.Node) position {
	if n == nil {
		return position{1, 1}
	}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return tokenPosition(m.Values[0].Key.GetToken())
	}
	return tokenPosition(n.GetToken())
}

// fault records a fault; its result is false, so that a reader can end with it.
func (d *decoder) fault(p position, format string, args ...any) bool {
	d.faults = append(d.faults, &Fault{File: d.file, Line: p.line, Col: p.col, Text: fmt.Sprintf(format, args...)})
	return false
}

// object reads a mapping: each known key by its reader, once; everything else is a fault.
func (d *decoder) object(n node, k keys) {
	if d.known != nil {
		for name := range k {
			d.known(strings.TrimPrefix(n.path+"."+name, "."))
		}
	}
	d.each(n, func(name string, at position, value node) {
		read, known := k[name]
		if !known {
			d.fault(at, "unknown key %q; %s", name, meant(name, k.names()))
			return
		}
		if _, empty := value.Node.(*ast.NullNode); empty {
			d.fault(at, "%s has no value: give one, or leave the key out", name)
			return
		}
		read(value)
	})
}

// each visits the entries of a mapping in order, refusing what is no plain key and what is there twice.
func (d *decoder) each(n node, visit func(name string, at position, value node)) {
	m, ok := n.Node.(*ast.MappingNode)
	if !ok {
		d.fault(where(n.Node), "%s holds keys and values", subject(n))
		return
	}
	for _, entry := range m.Values {
		at := tokenPosition(entry.Key.GetToken())
		name, ok := entry.Key.(*ast.StringNode)
		if !ok {
			d.fault(at, "a key is plain text")
			continue
		}
		value := node{entry.Value, strings.TrimPrefix(n.path+"."+name.Value, ".")}
		if first, twice := d.at[value.path]; twice {
			d.fault(at, "%s is given twice, first at line %d", name.Value, first.line)
			continue
		}
		d.at[value.path] = where(entry.Value)
		visit(name.Value, at, value)
	}
}

func subject(n node) string {
	if n.path == "" {
		return "a configuration"
	}
	return n.key()
}

// require names the keys an object must have.
func (d *decoder) require(n node, names ...string) {
	if _, ok := n.Node.(*ast.MappingNode); !ok {
		return // said already
	}
	for _, name := range names {
		if !d.has(n, name) {
			d.fault(where(n.Node), "%s needs the key %s", subject(n), name)
		}
	}
}

func (d *decoder) has(n node, name string) bool {
	_, ok := d.at[strings.TrimPrefix(n.path+"."+name, ".")]
	return ok
}

// scalar gives the text of a value with ${NAME} filled in from the environment; $${ stands for ${.
func (d *decoder) scalar(n node) (string, bool) {
	var text string
	switch v := n.Node.(type) {
	case *ast.StringNode:
		text = v.Value
	case *ast.LiteralNode:
		text = v.Value.Value
	case *ast.IntegerNode, *ast.FloatNode:
		text = n.GetToken().Value // as written: version 2.4, ODS 012
	default:
		return "", d.fault(where(n.Node), "%s is a single value", n.key())
	}
	return d.expand(n, text)
}

func (d *decoder) expand(n node, text string) (string, bool) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), true
		}
		name, after, closed := strings.Cut(rest, "}")
		switch {
		case strings.HasSuffix(before, "$"): // "$${": the second $ is dropped
			out.WriteString("{")
			text = rest
			continue
		case !closed:
			return "", d.fault(where(n.Node), "%s: ${ without }", n.key())
		}
		value, ok := d.env(name)
		if !ok {
			return "", d.fault(where(n.Node), "%s: the environment has no variable %s", n.key(), strconv.Quote(name))
		}
		out.WriteString(value)
		text = after
	}
}

// value reads a scalar with one of the readers of scalar.go.
func value[T any](d *decoder, into *T, read func(string) (T, error)) func(node) {
	return func(n node) {
		text, ok := d.scalar(n)
		if !ok {
			return
		}
		v, err := read(text)
		if err != nil {
			d.fault(where(n.Node), "%s %s", n.key(), err)
			return
		}
		*into = v
	}
}

// within narrows a reader to a range, ends included.
func within[T int | ~int64](low, high T, read func(string) (T, error), unit string) func(string) (T, error) {
	return func(s string) (T, error) {
		v, err := read(s)
		if err == nil && (v < low || v > high) {
			err = fmt.Errorf("is between %v and %v%s", low, high, unit)
		}
		return v, err
	}
}

func readInt(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, errors.New("is a whole number")
	}
	return n, nil
}

func readText(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", errors.New("must not be empty")
	}
	return s, nil
}

func (d *decoder) text(into *string) func(node) { return value(d, into, readText) }

// filePath reads the name of a file or folder; a relative one starts at the configuration's own folder.
func (d *decoder) filePath(into *string) func(node) {
	return value(d, into, func(s string) (string, error) {
		if _, err := readText(s); err != nil {
			return "", err
		}
		return d.resolve(s), nil
	})
}

// input reads the name of a file or folder that must be there when the gateway starts.
func (d *decoder) input(into *string) func(node) {
	read := d.filePath(into)
	return func(n node) {
		read(n)
		if *into != "" {
			d.files[n.path] = *into
		}
	}
}

func (d *decoder) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.file), path)
}

// oneOf reads one of some words.
func oneOf[T ~string](d *decoder, into *T, words ...T) func(node) {
	return value(d, into, func(s string) (T, error) {
		if slices.Contains(words, T(s)) {
			return T(s), nil
		}
		known := make([]string, len(words))
		for i, w := range words {
			known[i] = string(w)
		}
		return "", fmt.Errorf("cannot be %q; %s", s, meant(s, known))
	})
}

// list reads a sequence of at least one item.
func list[T any](d *decoder, into *[]T, item func(*T) func(node)) func(node) {
	return func(n node) {
		seq, ok := n.Node.(*ast.SequenceNode)
		if !ok || len(seq.Values) == 0 {
			d.fault(where(n.Node), "%s is a list of at least one: [a, b]", n.key())
			return
		}
		*into = make([]T, len(seq.Values))
		for i, v := range seq.Values {
			in := node{v, n.path + "[" + strconv.Itoa(i) + "]"}
			d.at[in.path] = where(v)
			item(&(*into)[i])(in)
		}
	}
}

// secret adds a key and its _file twin.
func (d *decoder) secret(k keys, name string, into *Secret) {
	once := func(read func(node)) func(node) {
		return func(n node) {
			if into.Given() {
				d.fault(where(n.Node), "%s and %s_file are both given: keep one", name, name)
				return
			}
			read(n)
		}
	}
	k[name] = once(d.text(&into.value))
	k[name+"_file"] = once(d.input(&into.file))
}
