package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
)

// photoAnswer is what scripts read of gateway photo.
type photoAnswer struct {
	Original, Derived struct {
		SHA256    string
		MediaType string `json:"media_type"`
		Bytes     int
		Width     int
		Height    int
	}
	Step    string
	Quality int
	SSIM    float64
	PSNR    float64
	Removed []string
	Lost    []string
	Issues  []struct{ Kind, Text string }
}

// photoRun runs the verb, and gives its answer and exit code.
func photoRun(t *testing.T, in []byte, args ...string) (a photoAnswer, exit int, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	exit = run(t.Context(), append([]string{"photo"}, args...), stdio{in: bytes.NewReader(in), out: &out, err: &err})
	if exit < 2 && out.Len() > 0 {
		if e := json.Unmarshal(out.Bytes(), &a); e != nil {
			t.Fatalf("%v in %s", e, out.Bytes())
		}
	}
	return a, exit, err.String()
}

func TestPhotoVerb(t *testing.T) {
	folder := t.TempDir()
	photo := photos.WithPrivate(photos.Lesion{Seed: 9, View: photos.CloseUp, Width: 1400, Height: 1050, Quality: 95}.JPEG(), 6)
	in, out := filepath.Join(folder, "in.jpg"), filepath.Join(folder, "out.jpg")
	if err := os.WriteFile(in, photo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		max  int // bytes, in a hundredth of the photo
		step string
	}{{200, "stripped"}, {97, "optimised"}, {85, "requantised"}, {40, "resized"}} {
		most := len(photo) * c.max / 100
		a, exit, stderr := photoRun(t, nil, "--max-bytes", fmt.Sprint(most), "--min-side", "500", in, "-o", out)
		got, err := os.ReadFile(out)
		if exit != 0 || err != nil || a.Step != c.step || len(got) > most {
			t.Fatalf("%d%%: exit %d, %s, %d bytes, %v: %s", c.max, exit, a.Step, len(got), err, stderr)
		}
		if a.Derived.SHA256 != fmt.Sprintf("%x", sha256.Sum256(got)) || a.Derived.Bytes != len(got) || a.Original.SHA256 != fmt.Sprintf("%x", sha256.Sum256(photo)) ||
			a.Original.Bytes != len(photo) || a.Original.Width != 1400 || a.Original.Height != 1050 || a.Derived.MediaType != "image/jpeg" {
			t.Errorf("%d%%: %+v", c.max, a)
		}
		if want := []string{"camera-settings", "comment", "gps", "owner", "serial"}; !slices.Equal(a.Removed, want) {
			t.Errorf("removed %v", a.Removed)
		}
		if harmed := c.step == "requantised" || c.step == "resized"; harmed != (a.Quality > 0) || harmed && (a.SSIM < 0.95 || a.PSNR < 30) {
			t.Errorf("%s: quality %d, SSIM %f, %f dB", a.Step, a.Quality, a.SSIM, a.PSNR)
		}
		if bytes.Contains(got, []byte("Rosalind")) || bytes.Contains(got, []byte("SN-123")) {
			t.Error("the derivative names the patient or the device")
		}
	}
	if a, exit, _ := photoRun(t, photo, "-", "-o", in); exit != 0 || a.Step != "stripped" {
		t.Errorf("from standard input over a file: exit %d, %+v", exit, a)
	}
	if a, exit, _ := photoRun(t, nil, in); exit != 0 || a.Step != "untouched" || len(a.Removed) > 0 || a.Derived != a.Original {
		t.Errorf("clean: exit %d, %+v", exit, a)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, ".photo-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestPhotoVerbRefuses(t *testing.T) {
	folder := t.TempDir()
	out := filepath.Join(folder, "out.jpg")
	photo := photos.Lesion{Seed: 9, View: photos.Overview, Width: 700, Height: 525, Quality: 95}.JPEG()
	for text, c := range map[string]struct {
		in   []byte
		args []string
		exit int
	}{
		"keep quality 75":         {photo, []string{"--max-bytes", "2000", "-", "-o", out}, 1},
		"no known type":           {[]byte{1, 2, 3}, []string{"-", "-o", out}, 1},
		"an empty file":           {nil, []string{"-"}, 1},
		"no such file":            {nil, []string{filepath.Join(folder, "none.jpg")}, 1},
		"accepts 1 arg":           {nil, nil, 2},
		"--min-ssim":              {photo, []string{"--min-ssim", "2", "-"}, 2},
		"--min-quality is 1 to":   {photo, []string{"--min-quality", "0", "-"}, 2},
		"it is a size such as 25": {photo, []string{"--max-bytes", "5M", "-"}, 2},
		"a number of pixels such": {photo, []string{"--max-pixels", "-3", "-"}, 2},
		"26214401 bytes, over":    {append(photo, make([]byte, 30<<20)...), []string{"-"}, 1},
		"is a folder: one photo":  {nil, []string{folder}, 1},
		"is a folder: -o names":   {photo, []string{"-", "-o", folder}, 1},
		"none/x.jpg: no such":     {photo, []string{"-", "-o", filepath.Join(folder, "none", "x.jpg")}, 1},
	} {
		a, exit, stderr := photoRun(t, c.in, c.args...)
		if exit != c.exit || !strings.Contains(stderr, text) {
			t.Errorf("%s: exit %d, %s", text, exit, stderr)
		}
		if refused := exit == 1 && !strings.Contains(text, "no such") && !strings.Contains(text, "folder"); refused && (len(a.Issues) != 1 || !strings.Contains(a.Issues[0].Text, text)) {
			t.Errorf("%s: %+v", text, a)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a refused photo was written")
	}
}

// A photo goes through a pipe alone; what is said of it is said beside it.
func TestPhotoVerbInAPipe(t *testing.T) {
	photo := photos.WithPrivate(photos.Lesion{Seed: 9, View: photos.Overview, Width: 700, Height: 525, Quality: 95}.JPEG(), 1)
	var out, err bytes.Buffer
	exit := run(t.Context(), []string{"photo", "--max-bytes", "1MiB", "--max-pixels", "1MP", "-", "-o", "-"}, stdio{bytes.NewReader(photo), &out, &err})
	var said photoAnswer
	if e := json.Unmarshal(err.Bytes(), &said); e != nil || exit != 0 || said.Step != "stripped" || said.Derived.SHA256 != fmt.Sprintf("%x", sha256.Sum256(out.Bytes())) {
		t.Errorf("exit %d, %v: %s", exit, e, err.Bytes())
	}
	out.Reset()
	if exit := run(t.Context(), []string{"photo", "-", "-o", "-"}, stdio{bytes.NewReader(photo[:2000]), &out, &err}); exit != 1 || out.Len() > 0 {
		t.Errorf("refused: exit %d, %d bytes", exit, out.Len())
	}
}

func TestPhotoVerbConvertsWhatIsNotTaken(t *testing.T) {
	heic := filepath.Join("..", "mapping", "image", "testdata", "cheers_1440x960.heic")
	out := filepath.Join(t.TempDir(), "out.jpg")
	a, exit, stderr := photoRun(t, nil, "--types", "jpeg,image/png", "--max-bytes", "300000", heic, "-o", out)
	got, err := os.ReadFile(out)
	if err != nil || exit != 0 || a.Step != "converted" || a.Derived.MediaType != "image/jpeg" || a.Original.MediaType != "image/heic" || a.Derived.Width != 1440 || len(got) > 300_000 {
		t.Errorf("exit %d %v %+v %s", exit, err, a, stderr)
	}
	if a, exit, _ = photoRun(t, nil, heic); exit != 0 || a.Step != "untouched" {
		t.Errorf("a destination that takes any type: exit %d %+v", exit, a)
	}
	if _, exit, stderr = photoRun(t, nil, "--types", "jpgg", heic); exit != 2 || !strings.Contains(stderr, "jpgg") {
		t.Errorf("exit %d %s", exit, stderr)
	}
}
