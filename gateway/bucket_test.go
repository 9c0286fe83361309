package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// fakeBucket gives the address of a bucket of a server that speaks S3, with what stands before that.
func fakeBucket(t *testing.T, before func(http.Handler) http.Handler) (string, *s3mem.Backend) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	backend := s3mem.New()
	if err := backend.CreateBucket("photos"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(before(gofakes3.New(backend).Server()))
	t.Cleanup(server.Close)
	return "s3://photos?" + url.Values{"region": {"eu-west-2"}, "endpoint": {server.URL}, "use_path_style": {"true"}, "prefix": {"site/"}}.Encode(), backend
}

// The way through with photos in a bucket: three requests come with photos, are answered and end; the bucket shows none of them.
func TestPhotosInABucket(t *testing.T) {
	address, backend := fakeBucket(t, func(server http.Handler) http.Handler { return server })
	config := bytes.Replace(demoConfig, []byte(`photos: {url: "file://${DIR}/photos"}`),
		[]byte(`photos: {url: "`+address+`", key: "`+strings.Repeat("ab", 32)+`", cache: {path: "${DIR}/cache"}}`+"\n"+`audit: {path: "${DIR}/audit.jsonl"}`), 1)
	ctx, w := runningBy(t, config, time.Minute)
	if !w.play(ctx, stdio{nil, io.Discard, io.Discard}) {
		t.Fatal("the cases did not come to their end")
	}
	list, err := backend.ListBucket("photos", nil, gofakes3.ListBucketPage{MaxKeys: 1000})
	if err != nil || len(list.Contents) < 6 {
		t.Fatalf("%d objects in the bucket, %v", len(list.Contents), err)
	}
	for _, c := range list.Contents {
		o, err := backend.GetObject("photos", c.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(o.Contents)
		if err != nil || !strings.HasPrefix(c.Key, "site/") || bytes.HasPrefix(b, []byte("\xff\xd8\xff")) || bytes.Contains(b, []byte("JFIF\x00")) || bytes.Contains(b, []byte("Exif\x00\x00")) {
			t.Errorf("%s: %d bytes, in the clear or out of place, %v", c.Key, len(b), err)
		}
		noPatients(t, "the bucket", b)
	}
}
