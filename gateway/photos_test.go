package main

import (
	"bytes"
	"image/jpeg"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
)

// Photos of 12 and 48 megapixels, as phones take them, arrive at the A&G platform with the pixels that were
// sent and without where, by whom and with which device they were taken.
func TestLargePhotosArriveWithTheirPixelsAndWithoutTheirMetadata(t *testing.T) {
	sent := map[string][]byte{"overview": photos.Megapixels(1, 12).JPEG(), "close-up": photos.Megapixels(2, 48).JPEG()}
	ctx, w := running(t) // its time begins now: painting takes long
	sendWith(t, ctx, w, "advice.hl7", map[string][]byte{"L1-overview": photos.WithPrivate(sent["overview"], 6), "L1-closeup": photos.WithPrivate(sent["close-up"], 6)})
	if err := until(ctx, "the platform has the photos", func() bool { return len(w.ag.Requests()) > 0 }); err != nil {
		t.Fatal(err)
	}
	for _, p := range w.ag.Requests()[0].Photos {
		if p.View == "dermoscopic" {
			continue
		}
		if bytes.Contains(p.Bytes, []byte("SN-")) || bytes.Contains(p.Bytes, []byte("Testcase")) {
			t.Errorf("%s: a serial number or a name is left", p.View)
		}
		want, got := scan(t, sent[p.View]), scan(t, p.Bytes)
		if !bytes.Equal(want, got) {
			t.Errorf("%s: the picture's own data changed: %d bytes, sent %d", p.View, len(got), len(want))
		}
		conf, err := jpeg.DecodeConfig(bytes.NewReader(p.Bytes))
		if err != nil || conf.Width*conf.Height < 12e6 {
			t.Errorf("%s: %d × %d (%v)", p.View, conf.Width, conf.Height, err)
		}
	}
}

// scan gives a JPEG from its first start-of-scan marker: the same bytes there, with the same tables before
// it, are the same pixels.
func scan(t *testing.T, b []byte) []byte {
	t.Helper()
	at := bytes.Index(b, []byte{0xff, 0xda})
	if at < 0 {
		t.Fatal("no start of scan")
	}
	return b[at:]
}
