package itk3

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Limits of a response: they are small, and whoever can send to a mailbox can send one.
const (
	mostBytes = 4 << 20
	mostDepth = 60
	mostNodes = 20_000
)

// Response is what a receiver says of a message (ITK3 Messaging Distribution, response codes). It holds codes and
// identifiers, none of the receiver's words: those may name the patient.
type Response struct {
	To        string // MessageHeader.response.identifier: the message it answers
	Reference string // SenderReference of that message, given back
	Type      string // MessageHeader.response.code: ok, transient-error, fatal-error
	Code      string // ITK response code: 20013, 30001, …; the worst where there are several
	Sender    string // ODS code of who answers; may be empty
}

// Level of a response.
type Level string

const (
	Infrastructure Level = "infrastructure" // 1xxxx and 2xxxx: the message can be read
	Business       Level = "business"       // 3xxxx: the patient is known there
)

// Codes that a sender must know one from another.
const (
	Success          = "20013"
	PatientKnown     = "30001"
	PatientNotKnown  = "30002"
	PatientLeft      = "30003"
	DuplicateMessage = "20007"
	DuplicateDoc     = "20008"
)

// Level gives the level that a response is of. One without a code is of the first: nothing says that it went further.
func (r Response) Level() Level {
	if strings.HasPrefix(r.Code, "3") {
		return Business
	}
	return Infrastructure
}

// Positive tells 20013 and 30001, said with ok. Every other answer is none of success.
func (r Response) Positive() bool {
	return r.Type == "ok" && (r.Code == Success || r.Code == PatientKnown)
}

// Repeat tells that the receiver has had the message before: no news of it.
func (r Response) Repeat() bool { return r.Code == DuplicateMessage || r.Code == DuplicateDoc }

// ReadResponse reads an ITK3 response, in XML or JSON. The error is an *issue.Issue that names the place.
func ReadResponse(b []byte) (Response, error) {
	root, err := parse(b)
	if err != nil {
		return Response{}, issue.New(issue.Structure, "Bundle", "an ITK3 response that cannot be read").Because(err)
	}
	var header, outcome *element
	entries := root.all("entry")
	for _, e := range entries {
		for _, r := range e.all("resource") {
			if h := r.resource("MessageHeader"); h != nil && header == nil {
				header = h
			}
			if o := r.resource("OperationOutcome"); o != nil && outcome == nil {
				outcome = o
			}
		}
	}
	switch {
	case header == nil:
		return Response{}, issue.New(issue.Structure, "MessageHeader", "no ITK3 message: it has no header")
	case header.at("event").text("code") != eventResponse:
		return Response{}, issue.New(issue.UnsupportedEvent, "MessageHeader.event", "an ITK3 message that is no response ("+eventResponse+")")
	}
	r := Response{To: bare(header.at("response").text("identifier")), Type: header.at("response").text("code")}
	r.Reference = bare(senderReference(header))
	r.Code = worst(outcome)
	r.Sender = sender(header, entries)
	if r.To == "" && r.Reference == "" {
		return r, issue.New(issue.Required, "MessageHeader.response.identifier", "a response that does not say to what")
	}
	if r.Type == "" && r.Code == "" {
		return r, issue.New(issue.Required, "MessageHeader.response.code", "a response that does not say what became of the message")
	}
	return r, nil
}

// bare is an identifier without the scheme that some write before it.
func bare(id string) string {
	return strings.ToLower(strings.TrimPrefix(strings.TrimSpace(id), "urn:uuid:"))
}

// worst gives the code of the first issue that is no success, else of the first.
func worst(outcome *element) string {
	first := ""
	for _, i := range outcome.all("issue") {
		for _, c := range i.at("details").all("coding") {
			code := c.text("code")
			if code == "" || strings.Trim(code, "0123456789") != "" || len(code) > 8 {
				continue
			}
			if first == "" {
				first = code
			}
			if code != Success && code != PatientKnown {
				return code
			}
		}
	}
	return first
}

func senderReference(header *element) string {
	for _, x := range header.all("extension") {
		for _, inner := range x.all("extension") {
			if inner.url() == "SenderReference" {
				return inner.text("valueString")
			}
		}
	}
	return ""
}

// sender finds the ODS code of the organisation that the header names as the sender.
func sender(header *element, entries []*element) string {
	ref := header.at("sender").text("reference")
	id := ref[strings.LastIndexAny(ref, "/:")+1:]
	for _, e := range entries {
		for _, r := range e.all("resource") {
			org := r.resource("Organization")
			if org == nil || id == "" || org.text("id") != id && !strings.HasSuffix(e.text("fullUrl"), id) {
				continue
			}
			for _, i := range org.all("identifier") {
				if i.text("system") == fhir.SystemODSOrganisation {
					return odsCode(i.text("value"))
				}
			}
		}
	}
	return ""
}

// odsCode takes what can be one: it is told to people, and nothing else of a response is.
func odsCode(s string) string {
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) < 3 || len(s) > 12 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		return ""
	}
	return s
}

// element is FHIR as both its languages have it: a name, a value, children.
type element struct {
	name, value string
	attr        map[string]string // url, of an extension in XML
	children    []*element
}

func (e *element) all(name string) (out []*element) {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			out = append(out, c)
		}
	}
	return out
}

func (e *element) at(name string) *element {
	for _, c := range e.all(name) {
		return c
	}
	return nil
}

// text gives the value of a child, "" where there is none.
func (e *element) text(name string) string {
	if c := e.at(name); c != nil {
		return c.value
	}
	return ""
}

func (e *element) url() string {
	if u := e.attr["url"]; u != "" {
		return u
	}
	return e.text("url")
}

// resource gives the resource of a type in an entry's resource element: a child of its name in XML, itself in JSON.
func (e *element) resource(typ string) *element {
	if e.text("resourceType") == typ {
		return e
	}
	return e.at(typ)
}

var errLimit = errors.New("itk3: larger or deeper than any response is")

func parse(b []byte) (*element, error) {
	if len(b) > mostBytes {
		return nil, errLimit
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if t := bytes.TrimSpace(b); len(t) > 0 && t[0] == '{' {
		return parseJSON(t)
	}
	return parseXML(b)
}

func parseXML(b []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	var root *element
	var open []*element
	nodes := 0
	for {
		token, err := d.Token()
		if err == io.EOF && root != nil && len(open) == 0 {
			return root, nil
		}
		if err != nil {
			return nil, fmt.Errorf("itk3: no XML (%T)", err) // its words may quote the message
		}
		switch t := token.(type) {
		case xml.StartElement:
			if nodes++; nodes > mostNodes || len(open) > mostDepth {
				return nil, errLimit
			}
			e := &element{name: t.Name.Local}
			for _, a := range t.Attr {
				if a.Name.Local == "value" {
					e.value = a.Value
				} else if a.Name.Local == "url" {
					e.attr = map[string]string{"url": a.Value}
				}
			}
			switch {
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.children = append(parent.children, e)
			case root == nil:
				root = e
			default:
				return nil, errors.New("itk3: more than one document")
			}
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.Directive:
			return nil, errors.New("itk3: a document type is never part of FHIR")
		}
	}
}

func parseJSON(b []byte) (*element, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	nodes := 0
	above := &element{}
	if err := jsonMember(d, above, "", 0, &nodes); err != nil {
		if errors.Is(err, errLimit) {
			return nil, err
		}
		return nil, fmt.Errorf("itk3: no JSON (%T)", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("itk3: something follows the JSON")
	}
	return above.at(""), nil
}

func jsonObject(d *json.Decoder, e *element, depth int, nodes *int) error {
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		if err := jsonMember(d, e, name, depth, nodes); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// jsonMember reads the value of a key: one child, or one for each of an array.
func jsonMember(d *json.Decoder, e *element, name string, depth int, nodes *int) error {
	if *nodes++; *nodes > mostNodes || depth > mostDepth {
		return errLimit
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			for d.More() {
				if err := jsonMember(d, e, name, depth+1, nodes); err != nil {
					return err
				}
			}
			_, err := d.Token()
			return err
		}
		c := &element{name: name}
		e.children = append(e.children, c)
		return jsonObject(d, c, depth+1, nodes)
	case string:
		e.children = append(e.children, &element{name: name, value: t})
	case bool, json.Number:
		e.children = append(e.children, &element{name: name, value: fmt.Sprint(t)})
	}
	return nil
}
