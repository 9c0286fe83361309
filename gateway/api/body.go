package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/mapping/issue"
)

func mediaType(r *http.Request, want string) bool {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && got == want
}

// bodyIssue tells a body that is too long from one that broke off.
func bodyIssue(err error) *issue.Issue {
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return issue.New(issue.TooLong, "", "the body is too long").Because(err)
	}
	return issue.New(issue.Structure, "", "the body broke off").Because(err)
}

// body reads a flat JSON object into v, a pointer to a struct, and takes each of its keys once and spelt
// as it is: encoding/json would take "REASON", and the last of two.
func body(c *gin.Context, v any, keys ...string) error {
	if !mediaType(c.Request, "application/json") {
		return issue.New(issue.UnsupportedType, "Content-Type", "the body is application/json")
	}
	b, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return bodyIssue(err)
	}
	if err := flat(b, keys); err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return issue.New(issue.Structure, "", "a value of the wrong type").Because(err)
	}
	return nil
}

// flat checks that b is one object of known keys with plain values, or lists of them.
func flat(b []byte, keys []string) error {
	bad := func(text string) error { return issue.New(issue.Structure, "", text) }
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return bad("the body is one JSON object")
	}
	var seen []string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return bad("the body is not JSON")
		}
		key, _ := name.(string)
		if !slices.Contains(keys, key) {
			return bad("an unknown key in the body")
		}
		if slices.Contains(seen, key) {
			return issue.New(issue.Structure, key, "given twice")
		}
		seen = append(seen, key)
		value, err := d.Token()
		if value == json.Delim('[') { // of plain values
			for d.More() && err == nil && value != json.Delim('{') {
				if value, err = d.Token(); value == json.Delim('[') {
					value = json.Delim('{')
				}
			}
			if err == nil && value != json.Delim('{') {
				_, err = d.Token()
			}
		}
		if err != nil || value == json.Delim('{') {
			return issue.New(issue.Structure, key, "a plain value, or a list of them")
		}
	}
	if _, err := d.Token(); err != nil {
		return bad("the body is not JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad("something follows the body's object")
	}
	return nil
}
