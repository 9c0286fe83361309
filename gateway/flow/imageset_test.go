package flow_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/image"
)

// bodies keeps photos in memory, by their hash.
type bodies map[string][]byte

func (b bodies) Put(_ context.Context, _ string, r io.Reader, mediaType string) (flow.BodyRef, error) {
	body, err := io.ReadAll(r)
	sum := fmt.Sprintf("%x", sha256.Sum256(body))
	b[sum] = body
	return flow.BodyRef{Blob: sum, SHA256: sum, Size: int64(len(body)), Type: mediaType}, err
}

func (b bodies) Begin(_ context.Context, _, mediaType string) (flow.Body, error) {
	return &written{of: b, mediaType: mediaType}, nil
}

type written struct {
	bytes.Buffer
	of        bodies
	mediaType string
}

func (w *written) Include(s flow.Span) error {
	part := w.of[s.Blob][s.From : s.From+s.Size]
	if s.Base64 {
		part = []byte(base64.StdEncoding.EncodeToString(part))
	}
	w.Write(part)
	return nil
}

func (w *written) Keep() (flow.BodyRef, error) {
	return w.of.Put(context.Background(), "", &w.Buffer, w.mediaType)
}
func (w *written) Discard() {}

func (b bodies) Open(_ context.Context, r flow.BodyRef) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b[r.Blob])), nil
}

func (b bodies) At(_ context.Context, r flow.BodyRef) image.File { return bytes.NewReader(b[r.Blob]) }

// TestWhichPhotosAreMissing: of each lesion an overview, a close-up and a dermoscopic photo or a coded reason, of a rash
// an overview and two close-ups; what photos do not say of themselves holds nothing.
func TestWhichPhotosAreMissing(t *testing.T) {
	data := base64.StdEncoding.EncodeToString(photos.Lesion{Seed: 1, Width: 64, Height: 48, Quality: 50}.JPEG())
	photo := func(view, lesion string) string {
		return fmt.Sprintf("OBX||ED|%s|%s|^image^jpeg^Base64^%s||||||F\r", view, lesion, data)
	}
	full := photo("OVERVIEW", "L1") + photo("CLOSEUP", "L1") + photo("DERMOSCOPY", "L1")
	in := newIntake(t, flow.SourceRules{})
	in.Bodies = bodies{}
	rules := in.Sources["gp"]
	rules.Checks.Images, rules.Checks.Consent, rules.Rash = flow.Require, flow.Off, []string{"RASH"}
	in.Sources["gp"] = rules
	n := 0
	for name, c := range map[string]struct {
		obx  string
		want string // "": taken without a word
		only bool   // a warning
	}{
		"a full set":             {full, "", false},
		"no dermoscopic photo":   {photo("OVERVIEW", "L1") + photo("CLOSEUP", "L1"), "lesion: photos are missing: dermoscopic photo or coded reason for none", false},
		"a reason":               {photo("OVERVIEW", "L1") + photo("CLOSEUP", "L1") + "OBX||CE|DERMOSCOPY|L1|NODEVICE^None here^L||||||F\r", "", false},
		"a reason in OBX-32":     {photo("OVERVIEW", "L1") + photo("CLOSEUP", "L1") + "OBX|||DERMOSCOPY|L1|||||||N" + strings.Repeat("|", 21) + "NODEVICE^None here^L\r", "", false},
		"words in OBX-32":        {photo("OVERVIEW", "L1") + photo("CLOSEUP", "L1") + "OBX|||DERMOSCOPY|L1|||||||N" + strings.Repeat("|", 21) + "^none here\r", "lesion: photos are missing: dermoscopic", false},
		"of another lesion, 32":  {full + photo("OVERVIEW", "L2") + photo("CLOSEUP", "L2") + "OBX|||DERMOSCOPY|L1|||||||N" + strings.Repeat("|", 21) + "NODEVICE\r", "lesion 2 of 2: photos are missing: dermoscopic", false},
		"a reason without code":  {photo("OVERVIEW", "L1") + photo("CLOSEUP", "L1") + "OBX||TX|DERMOSCOPY|L1|none here||||||F\r", "lesion: photos are missing: dermoscopic", false},
		"of another lesion":      {full + photo("OVERVIEW", "L2") + photo("CLOSEUP", "L2") + "OBX||CE|DERMOSCOPY|L1|NODEVICE||||||F\r", "lesion 2 of 2: photos are missing: dermoscopic", false},
		"shared":                 {photo("OVERVIEW", "") + photo("CLOSEUP", "L1") + photo("DERMOSCOPY", "L1") + photo("CLOSEUP", "L2") + photo("DERMOSCOPY", "L2"), "", false},
		"views that nobody says": {photo("PHOTO", "L1") + photo("PHOTO", "L1") + photo("PHOTO", "L1"), "lesion: photos do not say their view", true},
		"fewer than can be":      {photo("PHOTO", "L1") + photo("PHOTO", "L1"), "lesion: photos are missing: overview, close-up, dermoscopic", false},
		"withdrawn":              {full[:strings.LastIndex(full, "|F")] + "|D\r", "lesion: photos are missing: dermoscopic", false},
		"a rash":                 {"OBR|1|||RASH^Rash^L\r" + photo("OVERVIEW", "") + photo("CLOSEUP", "") + photo("CLOSEUP", ""), "", false},
		"half a rash":            {"OBR|1|||RASH^Rash^L\r" + photo("CLOSEUP", ""), "rash: photos are missing: overview, close-up", false},
	} {
		n++
		receipt := in.send(request(fmt.Sprintf("S%d", n)) + c.obx)
		ack := string(receipt.Answer)
		if receipt.Refused != (c.want != "" && !c.only) || strings.Contains(ack, "photos ") != (c.want != "") || !strings.Contains(ack, c.want) {
			t.Errorf("%s: %q", name, ack)
		}
	}
}
