package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Records stands in for a FHIR R4 server that keeps a hospital's records: it takes transactions at POST /fhir, all or
// nothing. Each entry is an update of an id that its sender chose (PUT Type/id), or a create, which may be under a condition
// (ifNoneExist by identifier); a reference must lead to an entry or to what is kept, and a file must be there, of the size
// and hash that its Media or DocumentReference says.
//
// It leaves out: authentication, FHIR validation, versions and histories, deletion, batches, and every other interaction.
type Records struct {
	server
	kept  map[string]any // by "Type/id"
	order []string
	known map[string]string // "Type?identifier=system|value": "Type/id"
}

// StartRecords starts a FHIR server on addr ("": any free loopback port).
func StartRecords(addr string) (*Records, error) {
	s := &Records{kept: map[string]any{}, known: map[string]string{}}
	s.problem = fhirProblem
	if err := s.listen(addr); err != nil {
		return nil, err
	}
	s.handle("transaction", "POST /fhir", s.take)
	return s, nil
}

// Base is what a client is configured with.
func (s *Records) Base() string { return s.URL + "/fhir" }

// Kept tells what is kept, in the order in which it came: "Patient", and of a file its title, type and SHA-256 too.
func (s *Records) Kept() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := map[string]any{}
	for at, r := range s.kept {
		data[at] = text(r, "data")
	}
	var out []string
	for _, key := range s.order {
		r, line := s.kept[key], strings.SplitN(key, "/", 2)[0]
		if line == "Media" || line == "DocumentReference" {
			p, _ := decode(r, data)
			line += fmt.Sprintf(" %s %s sha256=%s", p.Name, p.Type, p.SHA256)
		}
		out = append(out, line)
	}
	return out
}

// entryWrite is what an entry would do.
type entryWrite struct {
	key      string // "Type/id"
	resource any
	status   int
}

func (s *Records) take(r request) answer {
	bundle := parse(r.body)
	switch {
	case !strings.HasPrefix(r.Header.Get("Content-Type"), fhirJSON):
		return fhirProblem(http.StatusUnsupportedMediaType, "not-supported")
	case text(bundle, "resourceType") != "Bundle" || text(bundle, "type") != "transaction" || len(list(bundle, "entry")) == 0:
		return fhirProblem(http.StatusBadRequest, "structure")
	}
	var writes []entryWrite
	places, data := map[string]string{}, map[string]any{}
	for _, e := range list(bundle, "entry") {
		w, code := s.entry(e)
		if code != "" {
			return fhirProblem(http.StatusUnprocessableEntity, code)
		}
		writes = append(writes, w)
		places[text(e, "fullUrl")], places[w.key] = w.key, w.key
		data[w.key], data[text(e, "fullUrl")] = text(w.resource, "data"), text(w.resource, "data")
	}
	for _, w := range writes {
		if !s.lead(w.resource, places) {
			return fhirProblem(http.StatusUnprocessableEntity, "not-found")
		}
		if typ := text(w.resource, "resourceType"); typ == "Media" || typ == "DocumentReference" {
			if _, err := decode(w.resource, data); err != nil {
				return fhirProblem(http.StatusUnprocessableEntity, "invalid")
			}
		}
	}
	var entries []any
	for _, w := range writes {
		s.keep(w)
		entries = append(entries, object{"response": object{"status": fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), "location": w.key + "/_history/1"}})
	}
	return answer{status: http.StatusOK, header: map[string]string{"Content-Type": fhirJSON}, body: object{"resourceType": "Bundle",
		"type": "transaction-response", "entry": entries}}
}

// entry judges one entry; code is the when it is refused.
func (s *Records) entry(e any) (w entryWrite, code string) {
	r := at(e, "resource")
	typ, place := text(r, "resourceType"), text(e, "request", "url")
	w = entryWrite{resource: r, status: http.StatusCreated}
	switch text(e, "request", "method") {
	case "PUT":
		w.key = place
		if place != typ+"/"+text(r, "id") || text(r, "id") == "" {
			return w, "value"
		}
		if s.kept[place] != nil {
			w.status = http.StatusOK
		}
	case "POST":
		if place != typ {
			return w, "value"
		}
		w.key = typ + "/" + s.uuid()
		if condition := text(e, "request", "ifNoneExist"); condition != "" {
			token, err := url.QueryUnescape(strings.TrimPrefix(condition, "identifier="))
			if err != nil {
				return w, "value"
			}
			if there := s.known[typ+" "+token]; there != "" {
				w.key, w.status, w.resource = there, http.StatusOK, s.kept[there]
			}
		}
	default:
		return w, "not-supported"
	}
	return w, ""
}

func (s *Records) keep(w entryWrite) {
	if s.kept[w.key] == nil {
		s.order = append(s.order, w.key)
	}
	s.kept[w.key] = w.resource
	typ := text(w.resource, "resourceType")
	ids, _ := at(w.resource, "identifier").([]any)
	for _, id := range ids {
		s.known[typ+" "+text(id, "system")+"|"+text(id, "value")] = w.key
	}
}

// lead gives references to entries the ids that are kept, and tells whether every one leads to an entry or to what is kept.
func (s *Records) lead(v any, places map[string]string) bool {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["reference"].(string); ok && !strings.HasPrefix(ref, "#") {
			if key := places[ref]; key != "" {
				v["reference"] = key
			} else if s.kept[ref] == nil {
				return false
			}
		}
		for _, child := range v {
			if !s.lead(child, places) {
				return false
			}
		}
	case []any:
		for _, child := range v {
			if !s.lead(child, places) {
				return false
			}
		}
	}
	return true
}
