package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

var (
	oldKey = [32]byte{1, 2, 3}
	newKey = [32]byte{4, 5, 6}
)

// quick makes a process look at the ring each time it seals, and Rekey wait for nobody.
func quick(t *testing.T) {
	t.Helper()
	was := ringEvery
	ringEvery = time.Nanosecond
	t.Cleanup(func() { ringEvery = was })
}

func TestRekey(t *testing.T) {
	quick(t)
	f := openRig(t, filepath.Join(t.TempDir(), "photos"), Keys{Seal: oldKey})
	before := map[string][]byte{}
	for i := range 7 {
		b := content(i*segment/2 + i)
		before[put(t, f, fmt.Sprintf("case-%d", i%3), b).Name] = b
	}
	search := f.SearchKey()

	both := openRig(t, f.dir, Keys{Seal: newKey, Open: [][32]byte{oldKey}})
	b := []byte("sealed with the new key")
	before[put(t, both, "case-9", b).Name] = b
	for name, b := range before { // old and new open before anything is rewrapped
		if got, err := read(both, name); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	told := 0
	did, err := both.Rekey(t.Context(), func(int) { told++ })
	if err != nil || did.Rewrapped != 7 || did.Objects != 8 || !slices.Equal(did.Retired, []string{KeyID(oldKey)}) || told != 16 || did.Damaged != nil {
		t.Fatalf("%+v, told %d times, %v", did, told, err)
	}
	alone := openRig(t, f.dir, Keys{Seal: newKey}) // the old key is gone
	for name, b := range before {
		if got, err := read(alone, name); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !bytes.Equal(alone.SearchKey(), search) {
		t.Error("cases cannot be found by their patients any more")
	}
	if o := put(t, alone, "case-1", content(segment/2+1)); before[o.Name] == nil {
		t.Error("the same content is kept twice after a rotation")
	}
	if _, err := OpenFolder(f.dir, Keys{Seal: oldKey}); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), KeyID(newKey)) {
		t.Errorf("with the old key alone: %v", err)
	}
	if did, err := alone.Rekey(t.Context(), nil); err != nil || did.Rewrapped != 0 || len(did.Retired) != 0 {
		t.Errorf("again: %+v %v", did, err)
	}
}

// A rotation that was stopped, however far it had come, goes on; until its end the old key is asked for at the start.
func TestRekeyIsResumed(t *testing.T) {
	quick(t)
	f := openRig(t, filepath.Join(t.TempDir(), "photos"), Keys{Seal: oldKey})
	for i := range 5 {
		put(t, f, "case-1", content(i+1))
	}
	both := openRig(t, f.dir, Keys{Seal: newKey, Open: [][32]byte{oldKey}})
	ctx, stop := context.WithCancel(t.Context())
	did, err := both.Rekey(ctx, func(n int) {
		if n == 3 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) || did.Rewrapped == 0 || did.Rewrapped >= 5 || did.Retired != nil {
		t.Fatalf("stopped: %+v %v", did, err)
	}
	if _, err := OpenFolder(f.dir, Keys{Seal: newKey}); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), KeyID(oldKey)) {
		t.Errorf("half way, without the old key: %v", err)
	}
	if _, err := OpenFolder(f.dir, Keys{Seal: oldKey, Open: [][32]byte{newKey}}); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "retired") {
		t.Errorf("half way, sealing with the old key: %v", err)
	}
	again := openRig(t, f.dir, Keys{Seal: newKey, Open: [][32]byte{oldKey}})
	more, err := again.Rekey(t.Context(), nil)
	if err != nil || did.Rewrapped+more.Rewrapped != 5 || len(more.Retired) != 1 {
		t.Errorf("%+v, then %+v %v", did, more, err)
	}
}

// Two rotations at once would undo each other's work for ever: the second is refused, and one whose claim was taken from it stops.
// What a killed one left is forgotten in time.
func TestOneRotationAtATime(t *testing.T) {
	quick(t)
	every, lasts := claimEvery, claimFor
	t.Cleanup(func() { claimEvery, claimFor = every, lasts })
	claimEvery = 0
	third := [32]byte{7, 8, 9}
	f := openRig(t, filepath.Join(t.TempDir(), "photos"), Keys{Seal: oldKey})
	for i := range 5 {
		put(t, f, "case-1", content(i+1))
	}
	a := openRig(t, f.dir, Keys{Seal: newKey, Open: [][32]byte{oldKey, third}})
	b := openRig(t, f.dir, Keys{Seal: third, Open: [][32]byte{oldKey, newKey}})
	seize := func(to *Store) {
		if _, err := (&rotation{Store: to, id: "another"}).retire(t.Context()); err != nil {
			t.Error(err)
		}
	}
	var second error
	if _, err := a.Rekey(t.Context(), func(n int) {
		switch n {
		case 2:
			_, second = b.Rekey(t.Context(), nil)
		case 4: // as two that began at the same moment over a bucket
			claimFor = 0
			seize(a.Store)
			claimFor = lasts
		}
	}); !errors.Is(err, ErrRotating) {
		t.Errorf("its claim was taken: %v", err)
	}
	if !errors.Is(second, ErrRotating) || !strings.Contains(second.Error(), KeyID(newKey)) {
		t.Errorf("a second rotation: %v", second)
	}
	if _, err := a.Rekey(t.Context(), nil); !errors.Is(err, ErrRotating) {
		t.Errorf("beside one that may be alive: %v", err)
	}
	claimFor = 0
	if did, err := a.Rekey(t.Context(), nil); err != nil || len(did.Retired) != 2 {
		t.Errorf("after one that was killed: %+v %v", did, err)
	}
}

// A gateway that was forgotten and still seals with the old key is refused before anything it seals could be lost.
func TestAForgottenGatewaySealsNothingMore(t *testing.T) {
	quick(t)
	f := openRig(t, filepath.Join(t.TempDir(), "photos"), Keys{Seal: oldKey})
	put(t, f, "case-1", []byte("before"))
	both := openRig(t, f.dir, Keys{Seal: newKey, Open: [][32]byte{oldKey}})
	if _, err := both.Rekey(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	_, err := f.Put(t.Context(), "case-1", strings.NewReader("after"))
	if !errors.Is(err, flow.ErrUnavailable) || !strings.Contains(err.Error(), "retired") {
		t.Errorf("sealed with a key that is gone: %v", err)
	}
}

// While keys are changed, photos are put, read, removed and healed.
func TestRekeyBesideUse(t *testing.T) {
	quick(t)
	dir := filepath.Join(t.TempDir(), "photos")
	f := openRig(t, dir, Keys{Seal: oldKey, Open: [][32]byte{newKey}})
	for i := range 40 {
		put(t, f, "case-1", content(i+1))
	}
	both := openRig(t, dir, Keys{Seal: newKey, Open: [][32]byte{oldKey}})
	var use sync.WaitGroup
	done := make(chan struct{})
	for w := range 3 {
		use.Go(func() {
			for i := w; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				b := content(i%40 + 1)
				o, err := both.Put(t.Context(), "case-1", bytes.NewReader(b))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := read(f, o.Name); err != nil || !bytes.Equal(got, b) {
					t.Errorf("read: %v", err)
					return
				}
			}
		})
	}
	did, err := both.Rekey(t.Context(), nil)
	close(done)
	use.Wait()
	if err != nil || len(did.Damaged) > 0 {
		t.Fatalf("%+v %v", did, err)
	}
	alone := openRig(t, dir, Keys{Seal: newKey})
	names, err := alone.Of(t.Context(), "case-1")
	if err != nil || len(names) != 40 {
		t.Fatalf("%d objects, %v", len(names), err)
	}
	for _, name := range names {
		if _, err := read(alone, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, path := range left(t, alone) {
		if strings.Contains(filepath.Base(path), temporary) {
			t.Errorf("left %s", path)
		}
	}
}

// What no key opens stays, is told by name, and does not keep the rotation from its end.
func TestRekeyOfADamagedObject(t *testing.T) {
	quick(t)
	f := openRig(t, filepath.Join(t.TempDir(), "photos"), Keys{Seal: oldKey})
	good, cut, changed := put(t, f, "case-1", []byte("good")), put(t, f, "case-1", []byte("cut")), put(t, f, "case-1", []byte("changed"))
	if err := os.Truncate(filepath.Join(f.dir, cut.Name), 40); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.dir, changed.Name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, flip(b, nonceEnd+3), 0o600); err != nil {
		t.Fatal(err)
	}
	both := openRig(t, f.dir, Keys{Seal: newKey, Open: [][32]byte{oldKey}})
	did, err := both.Rekey(t.Context(), nil)
	want := []string{cut.Name, changed.Name}
	slices.Sort(want)
	slices.Sort(did.Damaged)
	if err != nil || did.Rewrapped != 1 || !slices.Equal(did.Damaged, want) || len(did.Retired) != 1 {
		t.Errorf("%+v %v", did, err)
	}
	if _, err := read(openRig(t, f.dir, Keys{Seal: newKey}), good.Name); err != nil {
		t.Error(err)
	}
}

func TestADamagedRing(t *testing.T) {
	f := openRig(t, filepath.Join(t.TempDir(), "photos"), Keys{Seal: oldKey})
	path := filepath.Join(f.dir, ringFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, oldKey[:]) || bytes.Contains(b, f.ring.name) || bytes.Contains(b, f.SearchKey()) {
		t.Error("a secret stands in the clear")
	}
	for what, b := range map[string][]byte{"empty": nil, "no JSON": b[:len(b)/2], "another form": bytes.Replace(b, []byte(ringFormat), []byte("DGRING9"), 1),
		"a changed slot": bytes.Replace(b, []byte(`"sealed": "`), []byte(`"sealed": "AAAA`), 1)} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFolder(f.dir, Keys{Seal: oldKey}); err == nil || !strings.Contains(err.Error(), ringFile) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
