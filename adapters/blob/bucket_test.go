package blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/gateway/flow"
)

var key = blob.Keys{Seal: [32]byte{1, 2, 3}}

// gate stands before the server: it counts requests, and does with them what the test says.
type gate struct {
	next  http.Handler
	mu    sync.Mutex
	count map[string]int // "PUT case-1/…"
	act   func(w http.ResponseWriter, r *http.Request, pass func()) bool
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.count[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/photos/")]++
	act := g.act
	g.mu.Unlock()
	pass := func() { g.next.ServeHTTP(w, r) }
	if act == nil || !act(w, r, pass) {
		pass()
	}
}

func (g *gate) does(act func(w http.ResponseWriter, r *http.Request, pass func()) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.act = act
}

func (g *gate) counted(method string, name string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count[method+" "+name]
}

func gated(t *testing.T) (*gate, *bucket, *blob.Store) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	g := &gate{count: map[string]int{}}
	b := newBucket(t, func(h http.Handler) http.Handler { g.next = h; return g })
	return g, b, opened(t, b)
}

func opened(t *testing.T, b *bucket) *blob.Store {
	t.Helper()
	s, err := b.Open(t, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *blob.Store, content string) blob.Object {
	t.Helper()
	o, err := s.Put(t.Context(), "case-1", strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func reads(t *testing.T, s *blob.Store, name, want string) {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != want {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

// dropped ends the connection without an answer.
func dropped(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		c.Close()
	}
}

// Passing trouble is tried again within the call; an answer that was lost too, and the object is there once.
func TestABucketInTroubleIsTriedAgain(t *testing.T) {
	for what, trouble := range map[string]func(w http.ResponseWriter, pass func()){
		"503":                func(w http.ResponseWriter, _ func()) { w.WriteHeader(http.StatusServiceUnavailable) },
		"a broken line":      func(w http.ResponseWriter, _ func()) { dropped(w) },
		"the answer is lost": func(w http.ResponseWriter, pass func()) { pass(); panic(http.ErrAbortHandler) },
	} {
		t.Run(what, func(t *testing.T) {
			g, b, s := gated(t)
			var times atomic.Int32
			g.does(func(w http.ResponseWriter, r *http.Request, pass func()) bool {
				if r.Method != http.MethodPut || times.Add(1) > 2 {
					return false
				}
				trouble(w, pass)
				return true
			})
			o := put(t, s, "photo")
			if n := g.counted("PUT", o.Name); n != 3 {
				t.Errorf("%d times", n)
			}
			reads(t, opened(t, b), o.Name, "photo")
		})
	}
}

// A bucket that stays away makes nothing kept, and says so in the sender's time; when it is back all is well by itself.
func TestABucketThatIsAway(t *testing.T) {
	for what, away := range map[string]func(w http.ResponseWriter, r *http.Request){
		"refused": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"silent":  func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() },
	} {
		t.Run(what, func(t *testing.T) {
			g, b, s := gated(t)
			o := put(t, s, "before")
			g.does(func(w http.ResponseWriter, r *http.Request, _ func()) bool { away(w, r); return true })
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := s.Put(ctx, "case-1", strings.NewReader("photo"))
			if !errors.Is(err, flow.ErrUnavailable) || time.Since(start) > 5*time.Second {
				t.Errorf("put: %v after %v", err, time.Since(start))
			}
			other := opened1(t, b, g)
			if _, err := other.Open(ctx, o.Name); !errors.Is(err, flow.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("open: %v", err)
			}
			reads(t, s, o.Name, "before") // of the cache
			g.does(nil)
			reads(t, s, put(t, s, "photo").Name, "photo")
		})
	}
}

// opened1 opens another process while the trouble rests.
func opened1(t *testing.T, b *bucket, g *gate) *blob.Store {
	t.Helper()
	g.mu.Lock()
	act := g.act
	g.mu.Unlock()
	g.does(nil)
	defer g.does(act)
	return opened(t, b)
}

func TestABucketThatIsNotThere(t *testing.T) {
	_, b, _ := gated(t)
	_, err := blob.OpenBucket(t.Context(), strings.Replace(b.url(), "s3://photos", "s3://other", 1), blob.Cache{Dir: b.cache}, key)
	if !errors.Is(err, flow.ErrUnavailable) || !strings.Contains(err.Error(), "bucket other") {
		t.Errorf("%v", err)
	}
	g, other, _ := gated(t)
	g.does(func(w http.ResponseWriter, _ *http.Request, _ func()) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	_, err = blob.OpenBucket(t.Context(), other.url(), blob.Cache{Dir: other.cache}, key)
	if !errors.Is(err, flow.ErrUnavailable) || !strings.Contains(err.Error(), "bucket photos") || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("%v", err)
	}
	for _, address := range []string{"gs://photos", "s3://photos?regoin=eu-west-2", "file:///x", "%"} {
		if _, err := blob.OpenBucket(t.Context(), address, blob.Cache{Dir: b.cache}, key); err == nil {
			t.Errorf("%s was opened", address)
		}
	}
}

// What was put or read lately is not fetched again; what does not fit is, and the files stay within the limit.
func TestCacheOfABucket(t *testing.T) {
	g, b, s := gated(t)
	big := strings.Repeat("x", 100_000)
	o := put(t, s, big)
	reads(t, s, o.Name, big)
	if n := g.counted("GET", o.Name); n != 0 {
		t.Errorf("what was just put was fetched %d times", n)
	}
	other := opened(t, b)
	for range 3 {
		reads(t, other, o.Name, big)
	}
	if n := g.counted("GET", o.Name); n != 1 {
		t.Errorf("fetched %d times by who read it three times", n)
	}
	b.bytes = 250_000
	b.cache = t.TempDir()
	small := opened(t, b)
	var names []string
	for i := range 5 {
		names = append(names, put(t, small, fmt.Sprint(i, big)).Name)
	}
	kept := 0
	for _, file := range folder(b.cache).Raw(t) {
		kept += len(file)
	}
	if kept == 0 || kept > 250_000 {
		t.Errorf("%d bytes in the cache", kept)
	}
	for i, name := range names {
		reads(t, small, name, fmt.Sprint(i, big))
	}
	b.bytes = 0
	b.cache = t.TempDir()
	none := opened(t, b)
	reads(t, none, put(t, none, big).Name, big)
	if left := folder(b.cache).Raw(t); len(left) != 0 {
		t.Errorf("%d files left without a cache", len(left))
	}
}

// An old object that nobody refers to is put again while it is being removed: the one who put it waits, and it is there.
func TestPutWhileTheObjectIsRemoved(t *testing.T) {
	g, b, s := gated(t)
	o := put(t, s, "photo")
	done := make(chan error, 1)
	var once sync.Once
	g.does(func(_ http.ResponseWriter, r *http.Request, _ func()) bool {
		if r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/photos/"+o.Name) {
			once.Do(func() {
				before := g.counted("PUT", o.Name)
				go func() {
					_, err := opened(t, b).Put(context.Background(), "case-1", strings.NewReader("photo"))
					done <- err
				}()
				for g.counted("PUT", o.Name) == before { // it comes just before the removal
					time.Sleep(time.Millisecond)
				}
				time.Sleep(50 * time.Millisecond)
			})
		}
		return false
	})
	if n, err := s.Sweep(t.Context(), func(string) bool { return false }, -time.Hour); n != 1 || err != nil {
		t.Fatalf("%d removed, %v", n, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	reads(t, opened(t, b), o.Name, "photo")
	if n := g.counted("PUT", o.Name); n != 3 {
		t.Errorf("put %d times in all", n)
	}
}

// The same a moment earlier: what became young while it was marked is not removed.
func TestPutBeforeTheObjectIsRemoved(t *testing.T) {
	g, b, s := gated(t)
	o := put(t, s, "photo")
	time.Sleep(1100 * time.Millisecond) // S3 tells times in seconds
	var once sync.Once
	g.does(func(_ http.ResponseWriter, r *http.Request, _ func()) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/.doomed/") {
			once.Do(func() {
				time.Sleep(1100 * time.Millisecond)
				put(t, opened(t, b), "photo")
			})
		}
		return false
	})
	if n, err := s.Sweep(t.Context(), func(string) bool { return false }, 0); n != 0 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	reads(t, opened(t, b), o.Name, "photo")
	for name := range b.Raw(t) {
		if strings.HasPrefix(name, ".doomed/") {
			t.Errorf("%s is left", name)
		}
	}
}

// discard speaks as much S3 as an upload needs, and keeps nothing.
func discard(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		io.WriteString(w, `<InitiateMultipartUploadResult><Bucket>photos</Bucket><Key>k</Key><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
	case r.Method == http.MethodPost:
		io.WriteString(w, `<CompleteMultipartUploadResult><Bucket>photos</Bucket><Key>k</Key><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
	case r.Method == http.MethodPut:
		w.Header().Set("ETag", `"e"`)
	}
}

// An upload of 64 MiB: B/op is what it takes of memory, all told, with the server's side.
func BenchmarkBucketUpload(b *testing.B) {
	b.Setenv("AWS_ACCESS_KEY_ID", "id")
	b.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	const size = 64 << 20
	g := &gate{count: map[string]int{}}
	k := newBucket(b, func(h http.Handler) http.Handler { g.next = h; return g })
	s, err := blob.OpenBucket(b.Context(), k.url(), blob.Cache{Dir: b.TempDir()}, key)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	g.does(func(w http.ResponseWriter, r *http.Request, _ func()) bool {
		if r.Method == http.MethodPut || r.Method == http.MethodPost {
			discard(w, r)
			return true
		}
		return false
	})
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		st, err := s.Stage()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(st, io.LimitReader(zeros{}, size)); err != nil {
			b.Fatal(err)
		}
		if err := st.Close(); err != nil {
			b.Fatal(err)
		}
		if _, err := st.Keep(b.Context(), "case-1"); err != nil {
			b.Fatal(err)
		}
		st.Discard()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
