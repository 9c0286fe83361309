package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// searches serves what a platform shows whose answers are asked for: Tasks by the identifier of their request, with it and the
// patient, and Communications by that of the request they are about. Only searches by POST, by those parameters.
func (p *AGPlatform) searches() {
	p.handle("Task", "POST /fhir/Task/_search", func(r request) answer { return p.search(r, "Task", "focus:ServiceRequest.identifier") })
	p.handle("Communication", "POST /fhir/Communication/_search", func(r request) answer {
		return p.search(r, "Communication", "based-on:ServiceRequest.identifier")
	})
}

func (p *AGPlatform) search(r request, typ, by string) answer {
	q, err := url.ParseQuery(string(r.body))
	if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || len(q[by]) != 1 || r.URL.RawQuery != "" {
		return fhirProblem(http.StatusBadRequest, "invalid")
	}
	system, value, _ := strings.Cut(q.Get(by), "|")
	matches, included := []any{}, []any{}
	for _, id := range p.order {
		req := p.requests[id]
		if identifier(req.identifiers, system) != value {
			continue
		}
		for _, e := range req.shown {
			entry := object{"fullUrl": at(e, "fullUrl"), "resource": at(e, "resource"), "search": object{"mode": "match"}}
			switch found := text(e, "resource", "resourceType"); {
			case found == typ:
				matches = append(matches, entry)
			case found == "ServiceRequest" && slices.Contains(q["_include"], "Task:focus"), found == "Patient" && slices.Contains(q["_include"], "Task:patient"):
				entry["search"] = object{"mode": "include"}
				included = append(included, entry)
			}
		}
	}
	return answer{status: http.StatusOK, header: map[string]string{"Content-Type": fhirJSON}, body: object{"resourceType": "Bundle", "type": "searchset",
		"total": len(matches), "entry": append(matches, included...)}}
}

// show keeps an answer where it can be asked for: its request, patient and Task take the place of those of an earlier one, its
// Communication is added. The lock is held.
func (p *AGPlatform) show(q *AGRequest, bundle object) {
	places := map[string]string{}
	kept := q.shown[:0:0]
	for _, e := range q.shown {
		if text(e, "resource", "resourceType") == "Communication" {
			kept = append(kept, e)
		}
	}
	entries := list(bundle, "entry")[1:]
	for i, e := range entries {
		r, _ := at(e, "resource").(map[string]any)
		typ := text(r, "resourceType")
		id := strings.ToLower(q.ID)
		if typ == "Communication" {
			id = fmt.Sprintf("%s-%d", id, len(kept)+1)
		}
		places[text(e, "fullUrl")], r["id"] = typ+"/"+id, id
		r["meta"] = object{"versionId": fmt.Sprint(p.next()), "lastUpdated": p.Now().UTC().Format("2006-01-02T15:04:05.000Z")}
		entries[i] = object{"fullUrl": p.Base() + "/" + typ + "/" + id, "resource": r}
	}
	for _, e := range entries {
		renamed(e, places)
	}
	q.shown = append(kept, entries...)
}

func renamed(v any, places map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["reference"].(string); ok && places[ref] != "" {
			v["reference"] = places[ref]
		}
		for _, child := range v {
			renamed(child, places)
		}
	case []any:
		for _, child := range v {
			renamed(child, places)
		}
	}
}
