package adaptertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"math/rand"

	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/gateway/flow"
)

// compose stages what is put together of texts and stretches, and gives what must come of it.
func (b *blobs) compose(s *blob.Store, parts ...any) (*blob.Staged, []byte) {
	b.Helper()
	st, err := s.Stage()
	b.ok(err)
	b.Cleanup(st.Discard)
	var want []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			_, err = st.Write([]byte(p))
			want = append(want, p...)
		case blob.Span:
			err = st.Include(b.ctx, p)
			whole, _ := readBlob(b.ctx, s, p.Name)
			of := whole[p.From : p.From+p.Size]
			if p.Base64 {
				of = []byte(base64.StdEncoding.EncodeToString(of))
			}
			want = append(want, of...)
		}
		b.ok(err)
	}
	b.ok(st.Close())
	return st, want
}

// message is one with a photo that was made of a photo as it came.
func (b *blobs) message(s *blob.Store, owner string) (objects map[string][]byte) {
	b.Helper()
	original := photo(300_001)
	came, err := s.Put(b.ctx, owner, bytes.NewReader(original))
	b.ok(err)
	st, stripped := b.compose(s, blob.Span{Name: came.Name, Size: 20}, "clean", blob.Span{Name: came.Name, From: 70_000, Size: 200_000}, blob.Span{Name: came.Name, From: 290_000, Size: 10_001})
	travels, err := st.Keep(b.ctx, owner)
	b.ok(err)
	st, message := b.compose(s, "MSH|", blob.Span{Name: travels.Name, Size: travels.Size, Base64: true}, "", "|OBX|", blob.Span{Name: came.Name, Size: 1, Base64: true}, "\r")
	sent, err := st.Keep(b.ctx, owner)
	b.ok(err)
	sum := sha256.Sum256(message)
	if sent.SHA256 != hex.EncodeToString(sum[:]) || sent.Size != int64(len(message)) {
		b.Fatalf("%+v of %d bytes", sent, len(message))
	}
	return map[string][]byte{came.Name: original, travels.Name: stripped, sent.Name: message}
}

func (b *blobs) together() {
	all := b.message(b.s, "case-1")
	for name := range b.message(b.s, "case-1") { // and again over itself
		if all[name] == nil {
			b.Fatal("the same has another name")
		}
	}
	size := 0
	for name, raw := range b.shelf.Raw(b.T) {
		if _, ok := all[name]; ok {
			size += len(raw)
		}
	}
	if size > 310_000 {
		b.Errorf("%d bytes for 300,001 and what was made of them", size)
	}
	rnd := rand.New(rand.NewSource(1))
	for _, s := range []*blob.Store{b.s, b.open(oneKey)} {
		for name, want := range all {
			b.reads(s, name, want)
			if o, err := s.Stat(b.ctx, name); err != nil || o.Size != int64(len(want)) {
				b.Fatalf("%+v %v", o, err)
			}
			f, err := s.OpenAt(b.ctx, name)
			b.ok(err)
			for range 50 {
				at, got := rnd.Intn(len(want)), make([]byte, rnd.Intn(90_000))
				n, err := f.ReadAt(got, int64(at))
				if !bytes.Equal(got[:n], want[at:min(at+len(got), len(want))]) || (err == io.EOF) != (n < len(got)) {
					b.Fatalf("%d bytes at %d: %d, %v", len(got), at, n, err)
				}
			}
			b.ok(f.Close())
		}
	}
}

func (b *blobs) apart() {
	o := b.put("case-1", photo(100_000))
	st, want := b.compose(b.s, "a", blob.Span{Name: o.Name, Size: o.Size})
	got := make([]byte, len(want))
	_, err := st.ReadAt(got, 0)
	b.ok(err)
	if !bytes.Equal(got, want) {
		b.Error("staged, it reads otherwise")
	}
	if _, err := st.Keep(b.ctx, "case-2"); err == nil {
		b.Error("kept for another owner than its parts")
	}
	st, _ = b.compose(b.s, blob.Span{Name: o.Name, Size: o.Size})
	if _, err := st.Keep(b.ctx, "case-1"); err == nil {
		b.Error("an object was put in the place of what it is made of")
	}
	b.reads(b.s, o.Name, photo(100_000))
	st, err = b.s.Stage()
	b.ok(err)
	defer st.Discard()
	for _, of := range []blob.Span{{Name: o.Name, Size: o.Size + 1}, {Name: o.Name, From: -1, Size: 1}, {Name: o.Name, From: 99_999, Size: 2}} {
		b.is(st.Include(b.ctx, of), blob.ErrCorrupt)
	}
	b.is(st.Include(b.ctx, blob.Span{Name: "case-1/" + hex.EncodeToString(make([]byte, 32)), Size: 1}), flow.ErrNotFound)
	st, _ = b.compose(b.s, "b", blob.Span{Name: o.Name, Size: o.Size})
	made, err := st.Keep(b.ctx, "case-1")
	b.ok(err)
	raw := bytes.Clone(b.shelf.Raw(b.T)[o.Name])
	raw[90_000] ^= 1
	b.shelf.Write(b.T, o.Name, raw)
	_, err = readBlob(b.ctx, b.open(oneKey), made.Name)
	b.is(err, blob.ErrCorrupt)
	b.ok(b.s.Delete(b.ctx, o.Name))
	_, err = readBlob(b.ctx, b.s, made.Name)
	b.is(err, flow.ErrNotFound)
}

func (b *blobs) togetherRekeyed() {
	all := b.message(b.s, "case-1")
	did, err := b.open(twoKey).Rekey(b.ctx, nil)
	if err != nil || did.Rewrapped != 3 || did.Damaged != nil {
		b.Fatalf("%+v %v", did, err)
	}
	alone := b.open(blob.Keys{Seal: twoKey.Seal})
	for name, want := range all {
		b.reads(alone, name, want)
	}
}
