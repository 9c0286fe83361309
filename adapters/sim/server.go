// Package sim holds stand-ins for the systems around the gateway: the NHS token service, e-RS, an A&G
// platform, a hospital EPR, a GP system, MESH with its practices, and NHS Notify. Each is a real server on loopback that speaks the
// real protocol, checks what it is sent as its own documentation says, keeps what it got for checking, and
// fails on cue. They are made from the published interfaces and share no code with the adapters they
// test. What each leaves out is said at its type. The only clock is Now; every id is counted, so that the
// same calls get the same answers.
package sim

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Call is one request a stand-in got.
type Call struct {
	Name   string      `json:"name"` // "A044", "token", "$process-message"
	Method string      `json:"method"`
	Path   string      `json:"path"` // with the query
	Header http.Header `json:"-"`
	Body   []byte      `json:"-"`
	Status int         `json:"status"` // what it was answered; 0: the connection was dropped
}

// Fault is something to go wrong on cue. It meets the next calls of its name, then is spent.
type Fault struct {
	Call       string        `json:"call"`           // name of the call; empty: any
	Skip       int           `json:"skip"`           // calls let through first
	Times      int           `json:"times"`          // calls it meets; 0: one
	Status     int           `json:"status"`         // answered instead of doing anything
	Code       string        `json:"code"`           // error code in the answer's body, in the service's own form
	RetryAfter string        `json:"retryAfter"`     // Retry-After header
	Delay      time.Duration `json:"delay"`          // nanoseconds before the answer (what was asked is done first)
	Drop       bool          `json:"drop"`           // close the connection instead of answering; nothing is done
	DropAfter  bool          `json:"dropAfter"`      // do what was asked, then close the connection without an answer
	Body       string        `json:"body,omitempty"` // raw body instead of the service's error form
}

// server is the part all HTTP stand-ins share.
type server struct {
	URL string           // "http://127.0.0.1:port"
	Now func() time.Time // set before use; time.Now unless changed

	problem func(status int, code string) answer            // the service's own error form, for faults
	forms   map[string]func(status int, code string) answer // of calls that have another, by name
	mux     *http.ServeMux
	http    *http.Server
	mu      sync.Mutex // guards everything below and the state of the stand-in: calls are handled one by one
	seen    []Call
	faults  []*Fault
	count   int
}

// request is a call as a handler sees it.
type request struct {
	*http.Request
	body []byte
}

// answer is what a handler gives.
type answer struct {
	status int
	header map[string]string
	body   any // nil, []byte as it is, or something to marshal
}

// listen starts serving on addr ("127.0.0.1:0" picks a port).
func (s *server) listen(addr string) error { return s.listenTLS(addr, nil) }

// listenTLS is listen, over TLS where there is a configuration.
func (s *server) listenTLS(addr string, conf *tls.Config) error {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	s.URL, s.Now, s.mux = "http://"+l.Addr().String(), time.Now, http.NewServeMux()
	if conf != nil {
		l, s.URL = tls.NewListener(l, conf), "https://"+l.Addr().String()
	}
	s.http = &http.Server{Handler: s.mux, ReadHeaderTimeout: 10 * time.Second}
	s.mux.HandleFunc("POST /_sim/faults", s.addFault)
	s.mux.HandleFunc("GET /_sim/received", s.listCalls)
	go s.http.Serve(l) //nolint:errcheck // ends by Close
	return nil
}

// Close stops the stand-in at once.
func (s *server) Close() error { return s.http.Close() }

// Fail arranges for something to go wrong.
func (s *server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, &f)
}

// Pending counts the faults that have met nothing yet.
func (s *server) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.faults)
}

// Received gives the calls so far, those of the given names only when there are any.
func (s *server) Received(names ...string) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Call
	for _, c := range s.seen {
		if len(names) == 0 || slices.Contains(names, c.Name) {
			out = append(out, c)
		}
	}
	return out
}

// handle serves a route. h runs with the lock held.
func (s *server) handle(name, pattern string, h func(request) answer) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 256<<20))
		if err != nil {
			return // cut off by the caller: nothing was asked
		}
		a, f := s.answer(name, request{r, body}, h)
		if f.Delay > 0 {
			select {
			case <-time.After(f.Delay):
			case <-r.Context().Done():
			}
		}
		if f.Drop || f.DropAfter {
			panic(http.ErrAbortHandler) // net/http closes the connection without an answer
		}
		write(w, a)
	})
}

// answer does what was asked, or what the next fault says, and keeps the call.
func (s *server) answer(name string, r request, h func(request) answer) (answer, Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fault(name)
	var a answer
	switch {
	case f.Drop:
	case f.Status != 0:
		a = s.failed(name, f)
	default:
		a = h(r)
	}
	status := a.status
	if f.Drop || f.DropAfter {
		status = 0
	}
	s.seen = append(s.seen, Call{name, r.Method, r.URL.RequestURI(), r.Header.Clone(), r.body, status})
	return a, f
}

func (s *server) failed(name string, f Fault) answer {
	form := s.problem
	if own := s.forms[name]; own != nil {
		form = own
	}
	a := form(f.Status, f.Code)
	if f.Body != "" {
		a.body = []byte(f.Body)
	}
	if f.RetryAfter != "" {
		a.header = with(a.header, "Retry-After", f.RetryAfter)
	}
	return a
}

// fault takes the next fault for a call, the zero one when there is none.
func (s *server) fault(name string) Fault {
	for i, f := range s.faults {
		if f.Call != "" && f.Call != name {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times--; f.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return *f
	}
	return Fault{}
}

// next counts; ids are made from it.
func (s *server) next() int { s.count++; return s.count }

// uuid gives the next id in UUID form.
func (s *server) uuid() string { return fmt.Sprintf("5157d0d0-0000-4000-8000-%012d", s.next()) }

func (s *server) addFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.Fail(f)
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) listCalls(w http.ResponseWriter, r *http.Request) {
	write(w, answer{status: 200, body: s.Received(r.URL.Query()["name"]...)})
}

func write(w http.ResponseWriter, a answer) {
	body, raw := a.body.([]byte)
	if a.body != nil && !raw {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(a.body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		body = b.Bytes()
		w.Header().Set("Content-Type", "application/json")
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.status)
	w.Write(body) //nolint:errcheck // the caller is gone
}

func with(h map[string]string, pairs ...string) map[string]string {
	out := map[string]string{}
	for k, v := range h {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}
