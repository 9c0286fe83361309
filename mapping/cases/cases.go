// Package cases runs the cases that are kept beside maps: txtar files with a message and what must come of it.
//
// The parts of a case:
//
//	in.hl7             an HL7 v2 message, a segment a line; or
//	in.json            a FHIR Bundle
//	sender             the name of the overlay that is in force for in.hl7, senders/NAME.yaml; else none is
//	want.json          the Bundle that in.hl7 becomes, indented; "(map set)" stands for the digest of the maps
//	want.issues        every issue, a line each: "severity: place: text"; the validator's belong to them
//	want.unmapped      every valued leaf that no rule reads and none ignores, a line each
//	want.REF_I12.hl7   the message REF^I12 that the Bundle becomes, a segment a line; likewise for each Bundle[…] map
//	                   and each event of its structure (want.RRI_I14.hl7), in another version as want.REF_I12@2.3.hl7; RRI^I13 and
//	                   I14 answer a message CHANGE0001, and MDM^T10 takes the place of a document DG00000000
//
// What stands before the first part says what the case is about. A wanted part that is absent is not compared;
// a part of any other name is an error. ${photo1} in a part stands for the base64 of the file photo1.jpg (or with
// any other extension) beside the case.
package cases

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// Case is one case as its file has it.
type Case struct {
	archive *txtar.Archive
	files   map[string][]byte // base64 by the name that stands for it
}

// Extension is that of a case's file.
const Extension = ".txtar"

var (
	placeholder = regexp.MustCompile(`\$\{([A-Za-z0-9_-]+)\}`)
	wantedHL7   = regexp.MustCompile(`^want\.([A-Z0-9]{3}_[A-Z0-9]{3}(?:-[A-Za-z]+)?)(?:@([0-9.]+))?\.hl7$`)
)

// ErrNoCase is the error for a txtar file that says nothing of an input or of what is wanted: it is for other ends.
var ErrNoCase = errors.New("no case: neither in.hl7 nor in.json, nor anything wanted")

// Read reads a case and the files that it names.
func Read(folder fs.FS, name string) (*Case, error) {
	b, err := fs.ReadFile(folder, name)
	if err != nil {
		return nil, err
	}
	c := &Case{archive: txtar.Parse(b), files: map[string][]byte{}}
	if !slices.ContainsFunc(c.archive.Files, func(f txtar.File) bool {
		return strings.HasPrefix(f.Name, "in.") || strings.HasPrefix(f.Name, "want.")
	}) {
		return nil, ErrNoCase
	}
	for _, f := range c.archive.Files {
		switch f.Name {
		case parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]:
		default:
			if !wantedHL7.MatchString(f.Name) {
				return nil, fmt.Errorf("%s: no part of a case: %s", f.Name, meant(f.Name))
			}
		}
		for _, m := range placeholder.FindAllSubmatch(f.Data, -1) {
			if err := c.fetch(folder, path.Dir(name), string(m[1])); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
		}
	}
	if (c.part("in.hl7") == nil) == (c.part("in.json") == nil) {
		return nil, errors.New("want one of in.hl7 and in.json")
	}
	return c, nil
}

// parts of a case, beside the messages that its Bundle becomes.
var parts = [...]string{"in.hl7", "in.json", "sender", "want.json", "want.issues", "want.unmapped"}

// meant says which part a name may have been meant for.
func meant(name string) string {
	if near := issue.Nearest(name, parts[:]); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "want " + strings.Join(parts[:], ", ") + " or want.REF_I12.hl7"
}

// fetch reads the file beside the case that a placeholder names.
func (c *Case) fetch(folder fs.FS, dir, name string) error {
	found, err := fs.Glob(folder, path.Join(dir, name+".*"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("${%s}: want one file %s.* beside the case, there are %d", name, name, len(found))
	}
	b, err := fs.ReadFile(folder, found[0])
	c.files[name] = []byte(base64.StdEncoding.EncodeToString(b))
	return err
}

// Input gives the case's input with the files that it names.
func (c *Case) Input() []byte {
	in := c.part("in.hl7")
	if in == nil {
		in = c.part("in.json")
	}
	return c.full(in)
}

// part gives a part, nil when there is none.
func (c *Case) part(name string) []byte {
	for _, f := range c.archive.Files {
		if f.Name == name {
			return append([]byte{}, f.Data...)
		}
	}
	return nil
}

// full puts the files in the place of their names.
func (c *Case) full(part []byte) []byte {
	return placeholder.ReplaceAllFunc(part, func(m []byte) []byte { return c.files[string(m[2:len(m)-1])] })
}

// brief puts the names in the place of the files.
func (c *Case) brief(part []byte) []byte {
	for name, b := range c.files {
		part = bytes.ReplaceAll(part, b, []byte("${"+name+"}"))
	}
	return part
}

// Came is a case and what came of its input.
type Came struct {
	*Case
	got map[string][]byte // by the name of the part that says what is wanted
}

// each visits the wanted parts that differ from what came; lines is where the part's content begins, from 1.
func (c Came) each(visit func(f txtar.File, got []byte, line int)) {
	line := 1 + bytes.Count(c.archive.Comment, []byte("\n"))
	for _, f := range c.archive.Files {
		line++ // behind the part's marker
		if got, known := c.got[f.Name]; known && !bytes.Equal(got, f.Data) {
			visit(f, got, line)
		}
		line += bytes.Count(f.Data, []byte("\n"))
	}
}

// nothingWanted is what is wrong with a case that has its input alone.
const nothingWanted = "the case wants nothing, so nothing can fail: gateway test --update writes down what comes, for you to read"

// Diff gives the difference between what came and what must come, "" for none. Where the input was refused and the case
// does not say what is to be told, that is told too.
func (c Came) Diff() string {
	if !c.wants() {
		return nothingWanted + "\n"
	}
	var diff strings.Builder
	c.each(func(f txtar.File, got []byte, _ int) {
		fmt.Fprintf(&diff, "%s (-want +got):\n%s", f.Name, cmp.Diff(string(f.Data), string(got)))
	})
	if told := string(c.got["want.issues"]); diff.Len() > 0 && c.part("want.issues") == nil && strings.Contains("\n"+told, "\nerror: ") {
		diff.WriteString("issues:\n" + told)
	}
	return diff.String()
}

// wants tells whether the case says anything of what must come.
func (c *Case) wants() bool {
	return slices.ContainsFunc(c.archive.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want.") })
}

// Fault names the first line of the file, and its part, that differs from what came, and nothing of the
// message; "" where all is as it must be.
func (c Came) Fault() (line int, what string) {
	if !c.wants() {
		return 1, nothingWanted
	}
	c.each(func(f txtar.File, got []byte, begin int) {
		if what == "" {
			line = begin + sameLines(f.Data, got)
			what = "the case fails: what came differs from " + f.Name + " here (gateway test shows how)"
		}
	})
	return line, what
}

// sameLines counts the lines that two texts begin with in common.
func sameLines(a, b []byte) (n int) {
	for {
		lineA, restA, moreA := bytes.Cut(a, []byte("\n"))
		lineB, restB, moreB := bytes.Cut(b, []byte("\n"))
		if !moreA || !moreB || !bytes.Equal(lineA, lineB) {
			return n
		}
		a, b, n = restA, restB, n+1
	}
}

// Wants tells whether the case has a part.
func (c *Case) Wants(part string) bool { return c.part(part) != nil }

// Updated gives the file with what came in place of what was wanted; where nothing was wanted yet, all of it.
// The case wants that from now on.
func (c Came) Updated() []byte {
	if !c.wants() {
		for _, name := range []string{"want.json", "want.issues", "want.unmapped"} {
			if _, came := c.got[name]; came {
				c.archive.Files = append(c.archive.Files, txtar.File{Name: name})
			}
		}
	}
	for i, f := range c.archive.Files {
		if got, known := c.got[f.Name]; known {
			c.archive.Files[i].Data = got
		}
	}
	return txtar.Format(c.archive)
}
