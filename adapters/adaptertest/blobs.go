package adaptertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/gateway/flow"
)

// Shelf is an empty place for objects, and what a thief or a bad disk could do to it.
type Shelf interface {
	Open(t *testing.T, k blob.Keys) (*blob.Store, error)
	Raw(t *testing.T) map[string][]byte            // all that lies there, by name, staged objects too
	Write(t *testing.T, name string, bytes []byte) // over what is there
}

// Blobs runs the suite of stores of photos.
func Blobs(t *testing.T, empty func(t *testing.T) Shelf) {
	for _, test := range []struct {
		name string
		run  func(*blobs)
	}{
		{"what is put is read, of any size, and is what its hash says", (*blobs).roundTrip},
		{"once within its owner, never shared between two", (*blobs).once},
		{"staged, read and kept", (*blobs).staged},
		{"staged and discarded leaves nothing", (*blobs).discarded},
		{"content that breaks off leaves nothing", (*blobs).brokenOff},
		{"read at any place", (*blobs).readAt},
		{"removed, and removed again", (*blobs).removed},
		{"names that are none are not found", (*blobs).notNames},
		{"sweep takes what is old and unwanted", (*blobs).sweep},
		{"a copy shows nothing without the key", (*blobs).stolen},
		{"a wrong key is told at the start", (*blobs).wrongKey},
		{"an object that was changed, cut, extended or renamed does not open", (*blobs).changed},
		{"putting again heals", (*blobs).healed},
		{"keys are changed, and again", (*blobs).rekeyed},
		{"put together of others, it is read as any other and takes no room", (*blobs).together},
		{"put together of others, it is theirs: not another owner's, not of itself, not without them", (*blobs).apart},
		{"put together of others, under new keys", (*blobs).togetherRekeyed},
		{"many put, read and remove at once", (*blobs).many},
		{"a context that has ended", (*blobs).ended},
	} {
		t.Run(test.name, func(t *testing.T) {
			sh := empty(t)
			b := &blobs{T: t, shelf: sh, ctx: t.Context()}
			b.s = b.open(oneKey)
			test.run(b)
		})
	}
}

type blobs struct {
	*testing.T
	shelf Shelf
	s     *blob.Store
	ctx   context.Context
}

var (
	oneKey = blob.Keys{Seal: [32]byte{1, 2, 3}}
	twoKey = blob.Keys{Seal: [32]byte{4, 5, 6}, Open: [][32]byte{oneKey.Seal}}
)

func (b *blobs) open(k blob.Keys) *blob.Store {
	b.Helper()
	s, err := b.shelf.Open(b.T, k)
	b.ok(err)
	b.Cleanup(func() { s.Close() })
	return s
}

func (b *blobs) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *blobs) is(err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Fatalf("error %v, want %v", err, want)
	}
}

// photo gives n bytes that look like a JPEG and show whose it is.
func photo(n int) []byte {
	p := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(p)
	for at := 0; at+len(shown) <= n; at += 4096 {
		copy(p[at:], shown)
	}
	return p
}

const shown = "\xff\xd8\xff\xe1\x00\x18Exif\x00\x00Rosalind Testcase 9990001014"

// photoSizes end before, at and behind a segment of 64 KiB.
var photoSizes = []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300_000, 9_000_000}

func (b *blobs) put(owner string, p []byte) blob.Object {
	b.Helper()
	o, err := b.s.Put(b.ctx, owner, bytes.NewReader(p))
	b.ok(err)
	return o
}

func readBlob(ctx context.Context, s *blob.Store, name string) ([]byte, error) {
	r, err := s.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (b *blobs) reads(s *blob.Store, name string, want []byte) {
	b.Helper()
	got, err := readBlob(b.ctx, s, name)
	b.ok(err)
	if !bytes.Equal(got, want) {
		b.Fatalf("%s: %d bytes came back, not those of %d", name, len(got), len(want))
	}
}

func (b *blobs) roundTrip() {
	other := b.open(oneKey) // another process: nothing of it is cached
	for _, n := range photoSizes {
		p := photo(n)
		o := b.put("case-1", p)
		sum := sha256.Sum256(p)
		if o.Size != int64(n) || o.SHA256 != hex.EncodeToString(sum[:]) {
			b.Fatalf("%d bytes: %+v", n, o)
		}
		for _, s := range []*blob.Store{b.s, other, other} {
			b.reads(s, o.Name, p)
			if stat, err := s.Stat(b.ctx, o.Name); err != nil || stat.Size != o.Size || stat.Name != o.Name {
				b.Fatalf("stat: %+v %v", stat, err)
			}
		}
	}
}

func (b *blobs) names(owner string) []string {
	b.Helper()
	names, err := b.s.Of(b.ctx, owner)
	b.ok(err)
	return names
}

func (b *blobs) once() {
	p := photo(5000)
	first, again, other := b.put("case-1", p), b.put("case-1", p), b.put("case-2", p)
	if first.Name != again.Name || first.Name == other.Name || first.Name[7:] == other.Name[7:] {
		b.Fatalf("%s, %s and %s", first.Name, again.Name, other.Name)
	}
	if len(b.names("case-1")) != 1 || len(b.names("case-2")) != 1 || len(b.names("case-3")) != 0 || len(b.names("case")) != 0 {
		b.Fatal("an owner has another's objects, or one twice")
	}
}

func (b *blobs) stage(p []byte) *blob.Staged {
	b.Helper()
	st, err := b.s.Stage()
	b.ok(err)
	b.Cleanup(st.Discard)
	for n := 1; len(p) > 0; n = n*3 + 7 {
		n = min(n, len(p))
		_, err := st.Write(p[:n])
		b.ok(err)
		p = p[n:]
	}
	b.ok(st.Close())
	return st
}

func (b *blobs) staged() {
	p := photo(200_000)
	st := b.stage(p)
	got := make([]byte, len(p))
	_, err := st.ReadAt(got, 0)
	b.ok(err)
	o, err := st.Keep(b.ctx, "case-1")
	b.ok(err)
	again, err := st.Keep(b.ctx, "case-2")
	b.ok(err)
	if !bytes.Equal(got, p) || again != o || o != b.put("case-1", p) {
		b.Fatalf("%+v, %+v", o, again)
	}
	_, err = st.ReadAt(got[:10], 100)
	b.ok(err)
	st.Discard()
	b.reads(b.s, o.Name, p)
	b.reads(b.open(oneKey), o.Name, p)
}

// objects are those of the raw entries that have a name.
func (b *blobs) objects() (n int) {
	for name := range b.shelf.Raw(b.T) {
		if i := strings.LastIndexByte(name, '/'); len(name)-i-1 == 64 && !strings.HasPrefix(name, ".") {
			n++
		}
	}
	return n
}

func (b *blobs) discarded() {
	st := b.stage(photo(100))
	st.Discard()
	if _, err := st.Keep(b.ctx, "case-1"); err == nil || b.objects() != 0 {
		b.Fatalf("%v, %d objects", err, b.objects())
	}
}

type breaksOff struct{ left int }

var errBreak = errors.New("the line is gone")

func (r *breaksOff) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, errBreak
	}
	n := min(r.left, len(p))
	r.left -= n
	return n, nil
}

func (b *blobs) brokenOff() {
	_, err := b.s.Put(b.ctx, "case-1", &breaksOff{100_000})
	b.is(err, errBreak)
	if b.objects() != 0 {
		b.Fatal("something was kept")
	}
}

func (b *blobs) readAt() {
	p := photo(300_000)
	o := b.put("case-1", p)
	for _, s := range []*blob.Store{b.s, b.open(oneKey)} {
		f, err := s.OpenAt(b.ctx, o.Name)
		b.ok(err)
		defer f.Close()
		rnd := rand.New(rand.NewSource(1))
		for range 100 {
			at, n := rnd.Intn(len(p)), rnd.Intn(100_000)
			got := make([]byte, n)
			k, err := f.ReadAt(got, int64(at))
			if want := p[at:min(at+n, len(p))]; !bytes.Equal(got[:k], want) || (err == io.EOF) != (k < n) || err != nil && err != io.EOF {
				b.Fatalf("at %d: %d of %d, %v", at, k, n, err)
			}
		}
	}
}

func (b *blobs) removed() {
	a, c := b.put("case-1", photo(10)), b.put("case-1", photo(20))
	other := b.open(oneKey)
	for range 2 {
		b.ok(b.s.Delete(b.ctx, a.Name))
	}
	for _, s := range []*blob.Store{b.s, other} {
		_, err := readBlob(b.ctx, s, a.Name)
		b.is(err, flow.ErrNotFound)
		_, err = s.Stat(b.ctx, a.Name)
		b.is(err, flow.ErrNotFound)
	}
	b.reads(b.s, c.Name, photo(20))
	b.reads(b.s, b.put("case-1", photo(10)).Name, photo(10))
}

func (b *blobs) notNames() {
	for _, name := range []string{"", "../secret", "case-1", "case-1/../../secret", "/etc/passwd", "case-1/" + strings.Repeat("A", 64), ".keyring"} {
		_, err := b.s.Open(b.ctx, name)
		b.is(err, flow.ErrNotFound)
		b.is(b.s.Delete(b.ctx, name), flow.ErrNotFound)
	}
	for _, owner := range []string{"", "..", "a/b", ".doomed", strings.Repeat("a", 65)} {
		if _, err := b.s.Put(b.ctx, owner, strings.NewReader("x")); err == nil {
			b.Fatalf("owner %q was taken", owner)
		}
		if _, err := b.s.Of(b.ctx, owner); err == nil {
			b.Fatalf("owner %q was listed", owner)
		}
	}
}

func (b *blobs) sweep() {
	wanted, orphan := b.put("case-1", photo(10)), b.put("case-2", photo(20))
	keep := func(name string) bool { return name == wanted.Name }
	if n, err := b.s.Sweep(b.ctx, keep, time.Hour); n != 0 || err != nil {
		b.Fatalf("young: %d %v", n, err)
	}
	asked := 0
	n, err := b.s.Sweep(b.ctx, func(name string) bool { asked++; return keep(name) }, -time.Hour) // all is old
	if err != nil || n < 1 || asked != 2 {
		b.Fatalf("old: %d removed, %d asked about, %v", n, asked, err)
	}
	b.reads(b.s, wanted.Name, photo(10))
	_, err = readBlob(b.ctx, b.open(oneKey), orphan.Name)
	b.is(err, flow.ErrNotFound)
	b.reads(b.s, b.put("case-2", photo(20)).Name, photo(20))
}

// Shows 5 of issue 5: a stolen copy shows no photo without the key.
func (b *blobs) stolen() {
	var hashes []string
	for i, n := range []int{5000, 200_000, 200_000} {
		hashes = append(hashes, b.put(fmt.Sprintf("case-%d", i), photo(n)).SHA256)
	}
	b.stage(photo(50_000)) // and one that is being received
	raw := b.shelf.Raw(b.T)
	if len(raw) < 5 {
		b.Fatalf("%d files stolen", len(raw))
	}
	for name, file := range raw {
		for what, secret := range map[string][]byte{"beginning of a JPEG": []byte(shown[:6]), "EXIF": []byte("Exif\x00\x00"), "name": []byte("Rosalind"), "NHS number": []byte("9990001014"), "key": oneKey.Seal[:]} {
			if bytes.Contains(file, secret) {
				b.Errorf("%s shows a %s", name, what)
			}
		}
		for _, h := range hashes { // whoever has the photo could look it up
			if strings.Contains(name, h[:16]) || bytes.Contains(file, []byte(h[:16])) {
				b.Errorf("%s shows the hash of a photo", name)
			}
		}
	}
	names := map[string]bool{}
	for name := range raw {
		if _, hash, ok := strings.Cut(name, "/"); ok && names[hash] {
			b.Errorf("%s shows that two cases have the same photo", name)
		} else {
			names[hash] = ok
		}
	}
	if _, err := b.shelf.Open(b.T, blob.Keys{Seal: [32]byte{9}}); !errors.Is(err, blob.ErrKey) {
		b.Errorf("opened with another key: %v", err)
	}
}

func (b *blobs) wrongKey() {
	b.put("case-1", photo(10))
	wrong := blob.Keys{Seal: [32]byte{9}}
	_, err := b.shelf.Open(b.T, wrong)
	b.is(err, blob.ErrKey)
	if !strings.Contains(err.Error(), blob.KeyID(oneKey.Seal)) || !strings.Contains(err.Error(), blob.KeyID(wrong.Seal)) {
		b.Errorf("which key is needed, which was given: %v", err)
	}
	b.open(oneKey)
}

func (b *blobs) changed() {
	p := photo(150_000)
	o, other := b.put("case-1", p), b.put("case-2", photo(150_001))
	raw := b.shelf.Raw(b.T)
	file := raw[o.Name]
	cases := map[string][]byte{"cut": file[:len(file)-1], "cut at a segment": file[:76+65552], "extended": append(bytes.Clone(file), 0), "empty": {}, "another's": raw[other.Name]}
	for _, at := range []int{0, 9, 20, 40, 80, 76 + 65552 + 5, len(file) - 1} {
		c := bytes.Clone(file)
		c[at] ^= 1
		cases[fmt.Sprint("changed at ", at)] = c
	}
	for what, c := range cases {
		b.shelf.Write(b.T, o.Name, c)
		if got, err := readBlob(b.ctx, b.open(oneKey), o.Name); !errors.Is(err, blob.ErrCorrupt) && !errors.Is(err, blob.ErrKey) {
			b.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
}

func (b *blobs) healed() {
	p := photo(150_000)
	o := b.put("case-1", p)
	b.shelf.Write(b.T, o.Name, b.shelf.Raw(b.T)[o.Name][:100])
	if again := b.put("case-1", p); again != o {
		b.Fatalf("%+v, then %+v", o, again)
	}
	b.reads(b.open(oneKey), o.Name, p)
}

func (b *blobs) rekeyed() {
	kept := map[string][]byte{}
	for i, n := range photoSizes[:6] {
		kept[b.put(fmt.Sprintf("case-%d", i%2), photo(n)).Name] = photo(n)
	}
	search := b.s.SearchKey()
	both := b.open(twoKey)
	did, err := both.Rekey(b.ctx, nil)
	if err != nil || did.Rewrapped != 6 || did.Objects != 6 || len(did.Retired) != 1 || did.Damaged != nil {
		b.Fatalf("%+v %v", did, err)
	}
	alone := b.open(blob.Keys{Seal: twoKey.Seal})
	for name, p := range kept {
		b.reads(alone, name, p)
		b.reads(both, name, p)
	}
	if !bytes.Equal(alone.SearchKey(), search) {
		b.Error("searches find nothing of before")
	}
	_, err = b.shelf.Open(b.T, oneKey)
	b.is(err, blob.ErrKey)
	_, err = b.s.Put(b.ctx, "case-1", strings.NewReader("sealed with a key that was retired"))
	b.is(err, flow.ErrUnavailable)
}

func (b *blobs) many() {
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 6 {
				p := photo(70_000 + i)
				o, err := b.s.Put(b.ctx, "case-1", bytes.NewReader(p))
				if err != nil {
					b.Error(err)
					return
				}
				if got, err := readBlob(b.ctx, b.s, o.Name); err != nil || !bytes.Equal(got, p) {
					b.Errorf("%d bytes, %v", len(got), err)
				}
				own, err := b.s.Put(b.ctx, fmt.Sprintf("case-own-%d", w), bytes.NewReader(p))
				if err == nil {
					err = b.s.Delete(b.ctx, own.Name)
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := len(b.names("case-1")); got != 6 || b.objects() != 6 {
		b.Fatalf("%d objects of the case, %d in all", got, b.objects())
	}
}

func (b *blobs) ended() {
	o := b.put("case-1", photo(10))
	ctx, end := context.WithCancel(b.ctx)
	end()
	_, err := b.s.Put(ctx, "case-1", bytes.NewReader(photo(20)))
	b.is(err, context.Canceled)
	_, err = b.s.Open(ctx, o.Name)
	b.is(err, context.Canceled)
	b.is(b.s.Delete(ctx, o.Name), context.Canceled)
	if _, err := b.s.Rekey(ctx, nil); err == nil && b.objects() > 1 {
		b.Error("keys were changed")
	}
	b.reads(b.s, o.Name, photo(10))
}
