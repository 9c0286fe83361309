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
	"strings"
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
	Size   int         `json:"size"`   // bytes of the body
	Status int         `json:"status"` // what it was answered; 0: the connection was dropped
}

// server is the part all HTTP stand-ins share.
type server struct {
	URL  string           // "http://127.0.0.1:port"
	Now  func() time.Time // set before use; time.Now unless changed
	Rate int              // calls that e-RS and NHS Notify take a second, and answer 429 beyond; 0: all. Set before use
	Log  func(Call)       // told of each call; nil: nobody. Set before use
	Keep int              // calls remembered, the latest, and no body over 64 KiB of them; 0: everything. Set before use

	// Watch, where it is set before use, says what goes wrong with a call; false: what Fail arranged.
	Watch func(Call) (Fault, bool)

	problem func(status int, code string) answer            // the service's own error form, for faults
	forms   map[string]func(status int, code string) answer // of calls that have another, by name
	desk
	http    *http.Server
	routes  []Route
	mu      sync.Mutex // guards everything below and the state of the stand-in: calls are handled one by one
	seen    []Call
	dropped int // calls that are remembered no longer
	faults  []*Fault
	count   int
	second  int64 // of the last call
	within  int   // calls in it
}

// limited counts a call and tells whether it is one too many in its second.
func (s *server) limited() bool {
	if now := s.Now().Unix(); now != s.second {
		s.second, s.within = now, 0
	}
	s.within++
	return s.Rate > 0 && s.within > s.Rate
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
	s.control()
	go s.http.Serve(l) //nolint:errcheck // ends by Close
	return nil
}

// Close stops the stand-in at once.
func (s *server) Close() error { return s.http.Close() }

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
	s.routes = append(s.routes, route(name, pattern))
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 256<<20))
		if err != nil {
			return // cut off by the caller: nothing was asked
		}
		a, f := s.answer(name, request{r, body}, h)
		if s.Log != nil {
			s.Log(Call{name, r.Method, r.URL.RequestURI(), r.Header, body, len(body), f.told(a.status)})
		}
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
	call := Call{name, r.Method, r.URL.RequestURI(), r.Header.Clone(), r.body, len(r.body), 0}
	f := s.fault(call)
	var a answer
	switch {
	case f.Drop:
	case f.Status != 0:
		a = s.failed(name, f)
	default:
		a = h(r)
	}
	if f.Do != nil {
		f.Do()
	}
	call.Status = f.told(a.status)
	s.remember(call)
	return a, f
}

// longest is the body of a remembered call where not everything is kept, in bytes.
const longest = 64 << 10

func (s *server) remember(c Call) {
	if s.Keep > 0 {
		if len(c.Body) > longest {
			c.Body = nil
		}
		if len(s.seen) >= s.Keep {
			s.seen = slices.Delete(s.seen, 0, 1)
			s.dropped++
		}
	}
	s.seen = append(s.seen, c)
}

// next counts; ids are made from it.
func (s *server) next() int { s.count++; return s.count }

// uuid gives the next id in UUID form.
func (s *server) uuid() string { return fmt.Sprintf("5157d0d0-0000-4000-8000-%012d", s.next()) }

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

// anyMedia stands for an answer of any media type.
const anyMedia = "*/*"

// accepts tells whether a caller takes one of the media types, by its Accept header; none takes anything.
func accepts(r request, types ...string) bool {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if header == "" || slices.Contains(types, anyMedia) {
		return true
	}
	for part := range strings.SplitSeq(header, ",") {
		want, _, _ := strings.Cut(part, ";")
		want = strings.ToLower(strings.TrimSpace(want))
		family, any := strings.CutSuffix(want, "/*")
		for _, t := range types {
			if want == "*/*" || want == t || any && strings.HasPrefix(t, family+"/") {
				return true
			}
		}
	}
	return false
}
