package fhir

import (
	"strings"
	"sync"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"

	"github.com/dermgate/dermgate/mapping/issue"
)

// unmarshaller is google/fhir's reader with validation; making one is dear, so there is one.
var unmarshaller = sync.OnceValues(func() (*jsonformat.Unmarshaller, error) {
	return jsonformat.NewUnmarshaller("UTC", fhirversion.R4)
})

// Judge asks google/fhir for its opinion of a resource that was read with NoJudge: for callers that
// Validate first, since our own places say more.
func Judge(root Element) issue.List { return judge(root, defaultNesting) }

// judge asks google/fhir about a resource that our own reader has passed. It is given our writing of the
// tree rather than the bytes that came, so that it need not see photos, and so that what v0.7.4 is known to
// refuse wrongly or to lose is never a sender's fault:
//
//   - it refuses Parameters.parameter.resource: those resources are judged by themselves;
//   - it refuses null in the two arrays of a repeating primitive ("given" and "_given"), which stands for
//     a value or extensions that are not there: the values alone are shown to it;
//   - it drops the extensions of Reference.reference ("_reference") and cuts fractions of a second after
//     six digits: our tree keeps both, and nothing is taken from its answer but a verdict;
//   - it refuses leap seconds, which R4 allows: it is shown the second before.
func judge(root Element, nesting int) issue.List {
	shared, err := unmarshaller()
	if err != nil {
		return issue.List{issue.New(issue.Internal, root.Name(), "the second reader cannot be made").Because(err)}
	}
	u := *shared
	u.MaxNestingDepth = nesting
	var v verdict
	b := brief{apart: []Element{root}}
	for len(b.apart) > 0 && len(v.issues) < mostFaults {
		next := b.apart[0]
		b.apart = b.apart[1:]
		v.where = next.Path()
		w := writer{brief: &b}
		w.object(next)
		if w.err != nil {
			v.add("", w.err)
		} else if _, err := u.UnmarshalWithErrorReporter(w.buf, &v); err != nil {
			v.add(pathOf(err.Error()), err)
		}
	}
	return v.issues
}

// brief is how a resource is written for google/fhir.
type brief struct {
	apart []Element // resources still to be judged by themselves
}

// left writes an element that google/fhir is shown otherwise, and tells that it did.
func (b *brief) left(w *writer, first Element, comma bool) bool {
	d := first.n().def
	switch {
	case d.Type.Kind == AnyResource && first.Parent().Type().Name == "Parameters.parameter":
		b.apart = append(b.apart, first)
		return true
	case d.Type.Name == "base64Binary" && !d.Repeats() && first.Text() != "":
		w.key(comma, "", d.Name)
		w.raw(`"AAAA"`)
		return true
	case d.Type.Kind == Primitive && d.Repeats() && hollow(first):
		return b.solid(w, first, comma)
	}
	return false
}

// leap tells a time within a leap second: the form of the text has been or will be checked elsewhere.
func leap(n *node) bool {
	switch n.typ.Name {
	case "dateTime", "instant", "time":
		return strings.Contains(n.text, ":60")
	}
	return false
}

// hollow tells whether the arrays of values and of what stands beside them may need a null.
func hollow(first Element) bool {
	for c := first; c.OK(); c = c.following() {
		if c.n().first != 0 || c.n().text == "" {
			return true
		}
	}
	return false
}

// solid writes the values that there are, and tells whether there are any: an array of extensions alone
// has no null and is shown as it is.
func (b *brief) solid(w *writer, first Element, comma bool) bool {
	n := 0
	for c := first; c.OK(); c = c.following() {
		switch {
		case c.Text() == "":
			continue
		case n == 0:
			w.key(comma, "", first.n().def.Name)
			w.raw("[")
		default:
			w.raw(",")
		}
		w.value(c, false)
		n++
	}
	if n > 0 {
		w.raw("]")
	}
	return n > 0
}

// verdict gathers what google/fhir reports. Its texts may quote values and are kept private.
type verdict struct {
	where  string // the resource it is reading
	issues issue.List
}

func (v *verdict) add(path string, err error) {
	if _, inner, ok := strings.Cut(path, "."); ok {
		path = v.where + "." + inner
	} else {
		path = v.where
	}
	v.issues = append(v.issues, issue.New(issue.Structure, path, "not valid FHIR R4 by a second reader (google/fhir)").Because(err))
}

// ReportValidationError is called for each breach of a resource that could be read.
func (v *verdict) ReportValidationError(path string, err error) error {
	if len(v.issues) < mostFaults {
		v.add(path, err)
	}
	return nil
}

// ReportValidationWarning is never called by v0.7.4; a warning is no reason to refuse.
func (v *verdict) ReportValidationWarning(string, error) error { return nil }

// pathOf takes the path out of an error's text: `error at "Bundle.entry[0].resource": …`.
func pathOf(text string) string {
	_, rest, _ := strings.Cut(text, `at "`)
	path, _, ok := strings.Cut(rest, `"`)
	if !ok || strings.ContainsAny(path, " \n") {
		return ""
	}
	return path
}
