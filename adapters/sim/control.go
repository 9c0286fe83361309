package sim

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Every stand-in is controlled while it runs, by HTTP under /sim, beside what it stands for:
//
//	GET    /sim                what is served, what can be acted, and how faults are called
//	GET    /sim/received       the calls so far (?name=A044 those of a name)
//	GET    /sim/received/{n}   one of them with its headers and body; credentials are left out
//	POST   /sim/faults         {"call":"A044","status":503,"retryAfter":"2","times":3}, a Fault
//	GET    /sim/faults         those that have yet to meet something
//	DELETE /sim/faults         none from now on
//
// and what is said at each: a specialist's answer, a scan's result. What is done so is what the Go methods do.

// Route is something that can be called.
type Route struct {
	Name   string `json:"name,omitempty"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Does   string `json:"does,omitempty"`
}

func route(name, pattern string) Route {
	method, path, _ := strings.Cut(pattern, " ")
	return Route{Name: name, Method: method, Path: path}
}

// acting is a request to play a part.
type acting struct {
	*http.Request
	body []byte
}

// read takes the body as JSON without unknown fields.
func (a acting) read(into any) error {
	if len(a.body) == 0 {
		return errors.New("sim: a JSON body is wanted")
	}
	return strict(a.body, into)
}

// errNothing is what acting on something unknown ends with.
var errNothing = errors.New("sim: there is no such thing here")

// desk is where a stand-in is told what to do.
type desk struct {
	mux  *http.ServeMux
	acts []Route
}

// raw is an answer that is no JSON.
type raw struct {
	media string
	body  []byte
}

// act serves a way to play a part: what it gives is answered as JSON, nothing as 204, an error as 400 or 404.
func (d *desk) act(pattern, does string, do func(acting) (any, error)) {
	r := route("", pattern)
	r.Does = does
	d.acts = append(d.acts, r)
	d.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 256<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		said, err := do(acting{r, body})
		file, isRaw := said.(raw)
		switch {
		case errors.Is(err, errNothing):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		case said == nil:
			w.WriteHeader(http.StatusNoContent)
		case isRaw:
			write(w, answer{status: http.StatusOK, body: file.body, header: map[string]string{"Content-Type": file.media}})
		default:
			write(w, answer{status: http.StatusOK, body: said})
		}
	})
}

// control serves what is the same everywhere.
func (s *server) control() {
	s.act("GET /sim", "what is served here", func(acting) (any, error) {
		return object{"calls": s.routes, "acts": s.acts}, nil
	})
	s.act("GET /sim/received", "the calls so far; ?name= those of a name", func(a acting) (any, error) {
		return s.received(a.URL.Query()["name"]), nil
	})
	s.act("GET /sim/received/{n}", "one of them, with headers and body", s.receivedOne)
	s.act("POST /sim/faults", "something to go wrong: call, skip, times, status, code, retryAfter, delay, drop, dropAfter, body", func(a acting) (any, error) {
		var f Fault
		if err := a.read(&f); err != nil {
			return nil, err
		}
		return nil, s.Arrange(f)
	})
	s.act("GET /sim/faults", "faults that have yet to meet something", func(acting) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		out := []Fault{}
		for _, f := range s.faults {
			out = append(out, *f)
		}
		return out, nil
	})
	s.act("DELETE /sim/faults", "no faults from now on", func(acting) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = nil
		return nil, nil
	})
}

// numbered is a call with its number, from 1.
type numbered struct {
	N int `json:"n"`
	Call
}

func (s *server) received(names []string) []numbered {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []numbered{}
	for i, c := range s.seen {
		if len(names) == 0 || slices.Contains(names, c.Name) {
			out = append(out, numbered{s.dropped + i + 1, c})
		}
	}
	return out
}

// receivedOne gives a call whole: JSON as it is, other text as text, anything else by its size alone.
func (s *server) receivedOne(a acting) (any, error) {
	n, err := strconv.Atoi(a.PathValue("n"))
	s.mu.Lock()
	defer s.mu.Unlock()
	i := n - s.dropped - 1
	if err != nil || i < 0 || i >= len(s.seen) {
		return nil, errNothing
	}
	c := s.seen[i]
	h := c.Header.Clone()
	for _, secret := range []string{"Authorization", "X-Api-Key"} {
		if kind, _, _ := strings.Cut(h.Get(secret), " "); h.Get(secret) != "" {
			h.Set(secret, kind+" …")
		}
	}
	out := object{"n": n, "name": c.Name, "method": c.Method, "path": c.Path, "status": c.Status, "size": c.Size, "header": h}
	if v := parse(c.Body); v != nil {
		out["body"] = v
	} else if utf8.Valid(c.Body) {
		out["body"] = string(c.Body)
	}
	return out, nil
}

// Calls are the names of what is served, in order.
func (s *server) Calls() []string {
	var out []string
	for _, r := range s.routes {
		if !slices.Contains(out, r.Name) {
			out = append(out, r.Name)
		}
	}
	slices.Sort(out)
	return out
}
