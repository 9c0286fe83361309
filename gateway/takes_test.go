package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/image/dicom"
)

// wrapped is a photo as a DICOM file of a patient.
func wrapped(t testing.TB, photo []byte, patient string) []byte {
	t.Helper()
	facts, err := image.Inspect(bytes.NewReader(photo), image.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := dicom.Wrap(photo, dicom.Wrapping{PatientID: patient, Issuer: "NHS", Family: "Testcase", Given: "Rosalind", Dermoscopic: true,
		Captured: time.Date(2026, 11, 3, 10, 5, 40, 0, time.UTC), Region: dicom.Code{Value: "70559009", Scheme: "SCT", Meaning: "Skin of left forearm"},
		Laterality: "L", Study: "2.25.1", Series: "2.25.2", Instance: "2.25.3", Number: 1, Width: facts.Width, Height: facts.Height, Samples: 3})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "mapping", "image", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A HEIC of a phone, a WebP and a DICOM file reach a platform that takes JPEG as JPEGs, and an archive that wants DICOM as
// DICOM files of the request's patient; names and types follow.
func TestEachDestinationGetsTheTypesItTakes(t *testing.T) {
	t.Parallel()
	close := photos.Lesion{Seed: 3, View: photos.Dermoscopic, Width: 640, Height: 640, Quality: 90}.JPEG()
	ctx, w := taking(t, "advice", "photo_types: [jpeg]", "photo_types: [dicom]")
	sendWith(t, ctx, w, "advice.hl7", map[string][]byte{"L1-overview": sample(t, "cheers_1440x960.heic"), "L1-closeup": sample(t, "hopper.webp"),
		"L1-dermoscopic": wrapped(t, close, "9990001014")})
	if err := until(ctx, "both have the request", func() bool { return len(w.ag.Requests()) > 0 && len(w.epr.Messages()) > 0 }); err != nil {
		_, story := w.onlyCase(t)
		t.Fatal(err, story)
	}
	sizes := [][2]int{{1440, 960}, {128, 128}, {640, 640}}
	atAG, atEPR := w.ag.Requests()[0].Photos, w.epr.Messages()[0].Photos
	if len(atAG) != 3 || len(atEPR) != 3 {
		t.Fatalf("%d and %d photos arrived", len(atAG), len(atEPR))
	}
	for i, got := range atAG {
		conf, err := jpeg.DecodeConfig(bytes.NewReader(got.Bytes))
		if err != nil || got.Type != "image/jpeg" || !strings.HasSuffix(got.Name, ".jpg") || conf.Width != sizes[i][0] || conf.Height != sizes[i][1] {
			t.Errorf("photo %d: %s %s %d×%d (%v)", i+1, got.Name, got.Type, conf.Width, conf.Height, err)
		}
	}
	if got := atAG[2].Bytes; !bytes.HasSuffix(got, close[2:]) || !bytes.Contains(got, []byte("2026:11:03 10:05:40")) {
		t.Error("the JPEG in the DICOM file, and its time of capture, is not what arrived")
	}
	for i, got := range atEPR {
		p, err := dicom.Read(got.Bytes, 64e6)
		if err != nil || got.Type != "application/dicom" || p.PatientID != "9990001014" || p.Width != sizes[i][0] || p.Height != sizes[i][1] || p.JPEG == nil ||
			!strings.HasPrefix(p.Captured, "20261103100") || (p.Class == dicom.Dermoscopic) != (i == 2) {
			t.Errorf("photo %d: %s %+v (%v)", i+1, got.Type, p, err)
		}
	}
	c, _ := w.onlyCase(t)
	for i, name := range []string{"L1-overview-1.heic", "L1-closeup-1.webp", "L1-dermoscopic-1.dcm"} {
		if ph := c.Photos[i]; ph.Name != name || ph.Width != sizes[i][0] || len(ph.Fits) != 2 {
			t.Errorf("photo %d: %+v", i+1, ph)
		}
	}
}

// A P3 photo reaches who shows profiles with its profile, byte for byte, and who does not in sRGB.
func TestColoursAreThoseThatADestinationShows(t *testing.T) {
	t.Parallel()
	plain := photos.Lesion{Seed: 3, View: photos.CloseUp, Width: 640, Height: 640, Quality: 90}.JPEG()
	wide := withSegment(plain, 0xe2, slices.Concat([]byte("ICC_PROFILE\x00\x01\x01"), photos.DisplayP3()))
	ctx, w := taking(t, "advice", "photo_colours: srgb", "photo_colours: profile")
	sendWith(t, ctx, w, "advice.hl7", map[string][]byte{"L1-closeup": wide})
	if err := until(ctx, "both have the request", func() bool { return len(w.ag.Requests()) > 0 && len(w.epr.Messages()) > 0 }); err != nil {
		_, story := w.onlyCase(t)
		t.Fatal(err, story)
	}
	if got := w.epr.Messages()[0].Photos[1].Bytes; !bytes.Equal(got, wide) {
		t.Error("the photo changed for a destination that shows profiles")
	}
	got := w.ag.Requests()[0].Photos[1].Bytes
	if f, err := image.Inspect(bytes.NewReader(got), image.Limits{}); err != nil || f.ICC || f.Width != 640 || bytes.Equal(got, plain) {
		t.Errorf("%+v, %v", f, err)
	}
	if c, _ := w.onlyCase(t); !slices.ContainsFunc(c.Photos[1].Fits, func(f pathway.Fit) bool { return f.Step == "converted" && strings.HasSuffix(f.For, ":srgb") }) {
		t.Errorf("%+v", c.Photos[1].Fits)
	}
}

// A DICOM file that says it is of somebody else is not taken for this patient's photo.
func TestAPhotoOfAnotherPatientIsRefused(t *testing.T) {
	t.Parallel()
	ctx, w := taking(t, "advice", "photo_types: [jpeg]", "photo_types: [jpeg]")
	close := photos.Lesion{Seed: 3, View: photos.Dermoscopic, Width: 64, Height: 64, Quality: 90}.JPEG()
	ack := exchangeWith(t, ctx, w, "advice.hl7", map[string][]byte{"L1-dermoscopic": wrapped(t, close, "9990001022")})
	if ack.Code != "AE" || !strings.Contains(troubles(ack), "205 OBX[5]-5") {
		t.Errorf("%s%s", ack.Code, troubles(ack))
	}
	broken := wrapped(t, close, "9990001014")
	ack = exchangeWith(t, ctx, w, "advice.hl7", map[string][]byte{"L1-dermoscopic": broken[:len(broken)-400]})
	if ack.Code != "AE" || !strings.Contains(troubles(ack), "100 OBX[5]-5") {
		t.Errorf("a DICOM file cut off: %s%s", ack.Code, troubles(ack))
	}
}

// burned makes a DICOM file of ours say what the Burned In Annotation is; "" leaves it out.
func burned(t *testing.T, b []byte, says string) []byte {
	t.Helper()
	ours := []byte("\x28\x00\x01\x03CS\x02\x00NO")
	if bytes.Count(b, ours) != 1 {
		t.Fatal("no Burned In Annotation")
	}
	with := []byte(nil)
	if says != "" {
		if len(says)%2 == 1 {
			says += " "
		}
		with = append([]byte("\x28\x00\x01\x03CS"), byte(len(says)), 0)
		with = append(with, says...)
	}
	return bytes.Replace(b, ours, with, 1)
}

// Whoever sends a DICOM photo that shows who the patient is, or does not say that it does not, is warned; the photo goes.
func TestBurnedInAnnotationIsWarnedOf(t *testing.T) {
	t.Parallel()
	ctx, w := taking(t, "advice", "photo_types: [jpeg]", "photo_types: [jpeg]")
	whole := wrapped(t, photos.Lesion{Seed: 3, View: photos.Dermoscopic, Width: 640, Height: 480, Quality: 90}.JPEG(), "9990001014")
	const declared = 1 // a warning: image/jpeg, and it is DICOM
	for says, want := range map[string]string{"YES": "burned into its picture: they travel", "": "does not say whether the patient's data are burned", "NO": ""} {
		ack := sendMLLP(t, ctx, w, withPhoto(t, "AG9"+says, "L1-dermoscopic", burned(t, whole, says)))
		if ack.Code != "AA" || (strings.Count(troubles(ack), "102 OBX[5]-5") > declared) != (want != "") {
			t.Errorf("%q: %s%s", says, ack.Code, troubles(ack))
		}
		_, story := w.caseOf(t, "AG9"+says)
		told := slices.ContainsFunc(story, func(e flow.Event) bool { return e.What == "photo" && want != "" && strings.Contains(e.Text, want) })
		if told != (want != "") {
			t.Errorf("%q: %+v", says, story)
		}
	}
	in := filepath.Join(t.TempDir(), "in.dcm")
	if err := os.WriteFile(in, burned(t, whole, "YES"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := run(ctx, []string{"photo", "--types", "jpeg", in}, stdio{nil, &out, &out}); code != 0 || !strings.Contains(out.String(), "burned into its picture") {
		t.Errorf("exit %d: %s", code, out.String())
	}
}

// withPhoto is the fixture's request for advice under another control id, with another photo in one place.
func withPhoto(t *testing.T, control, mark string, photo []byte) []byte {
	t.Helper()
	b, err := fixtures.Raw("advice.hl7")
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte("${photo "+mark+".jpg}"), []byte(base64.StdEncoding.EncodeToString(photo)), 1)
	if b, err = fixtures.Fill(bytes.ReplaceAll(b, []byte("AG0001"), []byte(control))); err != nil {
		t.Fatal(err)
	}
	return b
}

// More files than a destination takes in one message: the request is parked with the numbers, and its requester is told.
// A suspected cancer goes without its photos.
func TestMoreFilesThanADestinationTakes(t *testing.T) {
	t.Parallel()
	t.Run("advice", func(t *testing.T) {
		t.Parallel()
		ctx, w := taking(t, "advice", "photos: 2", "photos: 3")
		sendWith(t, ctx, w, "advice.hl7", nil)
		id := w.parkedID(t, ctx)
		if err := until(ctx, "the EPR has it", func() bool { return len(w.epr.Messages()) > 0 }); err != nil {
			t.Fatal(err)
		}
		if n := len(w.epr.Messages()[0].Photos); n != 3 || len(w.ag.Requests()) > 0 {
			t.Errorf("%d photos at the EPR, %d requests at the platform", n, len(w.ag.Requests()))
		}
		hasTask(t, w, "too-many-photos", "3 files, and ag takes 2 in one message")
		if out, _ := w.operate(ctx, "parked", "--json"); !strings.Contains(out, id) || !strings.Contains(out, "3 files, and ag takes 2") {
			t.Error(out)
		}
	})
	t.Run("suspected cancer", func(t *testing.T) {
		t.Parallel()
		ctx, w := taking(t, "referral", "photos: 20", "photos: 1")
		sendWith(t, ctx, w, "suspected-cancer.hl7", nil)
		if err := until(ctx, "both have it", func() bool { return len(w.epr.Messages()) > 0 && len(w.ag.Requests()) > 0 }); err != nil {
			t.Fatal(err)
		}
		if at, n := len(w.epr.Messages()[0].Photos), len(w.ag.Requests()[0].Photos); at != 0 || n != 2 {
			t.Errorf("%d photos at the EPR, %d at the platform", at, n)
		}
		hasTask(t, w, "too-many-photos", "2 files, and epr takes 1 in one message")
	})
}

func hasTask(t *testing.T, w *world, code, why string) {
	t.Helper()
	c, _ := w.onlyCase(t)
	if !slices.ContainsFunc(c.Tasks, func(k pathway.Task) bool { return k.Code == code && strings.Contains(k.Why, why) && k.Owner != "" }) {
		t.Errorf("nobody is told %q: %s", why, fmt.Sprintf("%+v", c.Tasks))
	}
}

// Photos of the same bytes, and many of them, each keep their place and a name of their own; one more than a source may
// send is refused at its place.
func TestManyPhotosAndTheSameTwice(t *testing.T) {
	t.Parallel()
	ctx, w := taking(t, "advice", "photo_types: [jpeg]", "photos: 250")
	photo := base64.StdEncoding.EncodeToString(photos.Lesion{Seed: 1, View: photos.CloseUp, Width: 64, Height: 48, Quality: 60}.JPEG())
	many := func(n int, data string) []byte {
		b := numbered(t, n, nil)
		for range n - 3 {
			b = append(b, "OBX||ED|CLOSEUP^Close-up photo^L|L1|EMIS^image^jpeg^Base64^"+data+"||||||F\r"...)
		}
		return b
	}
	if ack := sendMLLP(t, ctx, w, many(200, photo)); ack.Code != "AA" {
		t.Fatal(ack.Code, troubles(ack))
	}
	if err := until(ctx, "both have it", func() bool { return len(w.epr.Messages()) > 0 && len(w.ag.Requests()) > 0 }); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, p := range w.ag.Requests()[0].Photos {
		names[p.Name] = true
	}
	if at, n := len(w.epr.Messages()[0].Photos), len(w.ag.Requests()[0].Photos); at != 200 || n != 200 || len(names) != 200 {
		t.Errorf("%d photos at the EPR, %d at the platform by %d names", at, n, len(names))
	}
	if ack := sendMLLP(t, ctx, w, many(201, photo)); ack.Code != "AE" || !strings.Contains(troubles(ack), "104 OBX") {
		t.Errorf("201 photos: %s%s", ack.Code, troubles(ack))
	}
}
