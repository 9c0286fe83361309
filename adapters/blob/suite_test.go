package blob_test

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/blob"
)

func TestFolder(t *testing.T) {
	adaptertest.Blobs(t, func(t *testing.T) adaptertest.Shelf { return folder(filepath.Join(t.TempDir(), "photos")) })
}

func TestBucket(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	adaptertest.Blobs(t, func(t *testing.T) adaptertest.Shelf { return newBucket(t, nil) })
}

// folder is a folder as a shelf of the suite.
type folder string

func (f folder) Open(_ *testing.T, k blob.Keys) (*blob.Store, error) {
	return blob.OpenFolder(string(f), k)
}

func (f folder) Raw(t *testing.T) map[string][]byte {
	out := map[string][]byte{}
	err := filepath.WalkDir(string(f), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(string(f), path)
		if err != nil {
			return err
		}
		out[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (f folder) Write(t *testing.T, name string, b []byte) {
	if err := os.WriteFile(filepath.Join(string(f), name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// bucket is a bucket of a server that speaks S3, on a real socket.
type bucket struct {
	backend *s3mem.Backend
	server  *httptest.Server
	cache   string
	bytes   int64
}

// newBucket starts a server; between, when it is not nil, stands before it.
func newBucket(t testing.TB, between func(http.Handler) http.Handler) *bucket {
	t.Helper()
	b := &bucket{backend: s3mem.New(), cache: t.TempDir(), bytes: 1 << 30}
	if err := b.backend.CreateBucket("photos"); err != nil {
		t.Fatal(err)
	}
	handler := gofakes3.New(b.backend).Server()
	if between != nil {
		handler = between(handler)
	}
	b.server = httptest.NewServer(handler)
	t.Cleanup(b.server.Close)
	return b
}

func (b *bucket) url() string {
	return "s3://photos?" + url.Values{"region": {"eu-west-2"}, "endpoint": {b.server.URL}, "use_path_style": {"true"}}.Encode()
}

func (b *bucket) Open(t *testing.T, k blob.Keys) (*blob.Store, error) {
	return blob.OpenBucket(t.Context(), b.url(), blob.Cache{Dir: b.cache, Bytes: b.bytes}, k)
}

// Raw gives what lies in the bucket, and in the cache of the machine.
func (b *bucket) Raw(t *testing.T) map[string][]byte {
	out := folder(b.cache).Raw(t)
	list, err := b.backend.ListBucket("photos", nil, gofakes3.ListBucketPage{MaxKeys: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Contents {
		o, err := b.backend.GetObject("photos", c.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		out[c.Key], err = io.ReadAll(o.Contents)
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func (b *bucket) Write(t *testing.T, name string, content []byte) {
	if _, err := b.backend.DeleteObject("photos", name); err != nil { // with its checksum
		t.Fatal(err)
	}
	if _, err := b.backend.PutObject("photos", name, map[string]string{}, bytes.NewReader(content), int64(len(content)), nil); err != nil {
		t.Fatal(err)
	}
}
