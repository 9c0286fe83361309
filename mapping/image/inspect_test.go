package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

func TestRealFiles(t *testing.T) {
	for name, want := range map[string]Facts{
		"hopper_orientation_2.jpg":  {Type: JPEG, Width: 128, Height: 128, Depth: 8, Orientation: 2},
		"hopper_orientation_8.jpg":  {Type: JPEG, Width: 128, Height: 128, Depth: 8, Orientation: 8},
		"hopper_orientation_6.webp": {Type: WebP, Width: 128, Height: 128, Depth: 8, Orientation: 6},
		"g4_orientation_6.tif":      {Type: TIFF, Width: 88, Height: 590, Depth: 1, Orientation: 6},
		"multipage.tiff":            {Type: TIFF, Width: 10, Height: 10, Depth: 1, Orientation: 1},
		"child_ifd.tiff":            {Type: TIFF, Width: 32, Height: 32, Depth: 8, Orientation: 1, Private: []string{"comment"}},
		"app13.jpg":                 {Type: JPEG, Width: 4, Height: 4, Depth: 8, Orientation: 1, Private: []string{"iptc"}},
		"exif_gps.jpg":              {Type: JPEG, Width: 8, Height: 8, Depth: 8, Orientation: 1, Captured: "2099:09:29 10:10:10", Private: []string{"gps", "other", "thumbnail"}},
		"empty_gps_ifd.jpg":         {Type: JPEG, Width: 10, Height: 10, Depth: 8, Orientation: 6, Captured: "2020:07:27 14:46:48", Private: []string{"gps"}},
		"broken_exif_dpi.jpg":       {Type: JPEG, Width: 100, Height: 100, Depth: 8, Orientation: 1, Captured: "2013:09:11 16:45:13", Private: []string{"owner", "serial", "thumbnail"}},
		"invalid-exif.jpg":          {Type: JPEG, Width: 200, Height: 200, Depth: 8, Orientation: 1, Private: []string{"exif", "iptc", "xmp"}},
		"frame_size.mpo":            {Type: JPEG, Width: 56, Height: 70, Depth: 8, Orientation: 1, ICC: true, Captured: "2025:09:07 14:16:43", Zone: "-04:00", Private: []string{"maker-note", "mpf", "owner", "thumbnail", "trailing"}},
		"icc-after-SOF.jpg":         {Type: JPEG, Width: 10, Height: 10, Depth: 8, Orientation: 1, ICC: true},
		"icc_profile.png":           {Type: PNG, Width: 57, Height: 57, Depth: 8, Orientation: 1, ICC: true},
		"lossy_alpha.webp":          {Type: WebP, Width: 100, Height: 100, Depth: 8, Orientation: 1},
		"cheers_1440x960.heic":      {Type: HEIC, Width: 1440, Height: 960, Orientation: 1},
		"rot1mir0.avif":             {Type: AVIF, Width: 427, Height: 640, Depth: 8, Orientation: 1},
		"xmp_tags_orientation.avif": {Type: AVIF, Width: 326, Height: 268, Depth: 8, Orientation: 1, ICC: true, Private: []string{"xmp"}},
		"SC_rgb_small_odd_jpeg.dcm": {Type: DICOM, Orientation: 1, Private: []string{"patient"}},
	} {
		b := sample(t, name)
		got, err := inspect(b, Limits{})
		want.Bytes = int64(len(b))
		if err != nil || !slices.Equal(got.Private, want.Private) {
			t.Errorf("%s: private %v, %v", name, got.Private, err)
		}
		if got.Private, want.Private = nil, nil; !equalFacts(got, want) {
			t.Errorf("%s: %+v,\nwant %+v", name, got, want)
		}
	}
	if _, err := inspect(sample(t, "testimgari.jpg"), Limits{}); kindOf(err) != issue.UnsupportedType {
		t.Errorf("an arithmetic JPEG: %v", err)
	}
}

func equalFacts(a, b Facts) bool {
	return a.Type == b.Type && a.Bytes == b.Bytes && a.Depth == b.Depth && same(a, b)
}

func kindOf(err error) issue.Kind {
	var i *issue.Issue
	if errors.As(err, &i) {
		return i.Kind
	}
	return ""
}

// frameAt finds the frame header of a JPEG.
func frameAt(b []byte) int {
	for i := 2; ; i++ {
		if b[i] == 0xff && isSOF(b[i+1]) {
			return i
		}
	}
}

func patched(b []byte, at int, v ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], v)
	return b
}

func ihdr(w, h uint32) []byte {
	data := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	return appendChunk([]byte("\x89PNG\r\n\x1a\n"), "IHDR", append(data, 8, 2, 0, 0, 0))
}

func TestWhatIsRefusedAndWhy(t *testing.T) {
	photo, picture := aJPEG(t, 64, 48), aPNG(t)
	sof := frameAt(photo)
	scan := bytes.Index(photo, []byte{0xff, mSOS})
	ofScans := append(slices.Clone(photo[:scan]), bytes.Repeat(photo[scan:len(photo)-2], 600)...)
	ofSegments := slices.Concat(photo[:2], bytes.Repeat([]byte{0xff, 0xe5, 0, 2}, 60_000), photo[2:])
	ofChunks := slices.Concat(picture[:33], bytes.Repeat(appendChunk(nil, "IDAT", nil), 60_000), picture[33:])
	profile := bytes.Repeat(appSegment(mAPP2, "ICC_PROFILE\x00", make([]byte, 65_000)), 160)
	for name, c := range map[string]struct {
		b    []byte
		lim  Limits
		kind issue.Kind
	}{
		"empty":                           {nil, Limits{}, issue.Required},
		"over the byte limit":             {photo, Limits{Bytes: 100}, issue.TooLong},
		"over the pixel limit":            {photo, Limits{Pixels: 64*48 - 1}, issue.TooLong},
		"65535 by 65535":                  {patched(photo, sof+5, 255, 255, 255, 255), Limits{}, issue.TooLong},
		"65535 by 65535 and no more":      {patched(photo, sof+5, 255, 255, 255, 255)[:sof+40], Limits{}, issue.TooLong},
		"PNG of 20000 by 20000":           {ihdr(20000, 20000), Limits{}, issue.TooLong},
		"PNG whose area overflows":        {ihdr(1<<32-1, 1<<32-1), Limits{}, issue.TooLong},
		"a JPEG of no height":             {patched(photo, sof+5, 0, 0), Limits{}, issue.Structure},
		"a JPEG of 12 bits":               {patched(photo, sof+4, 12), Limits{}, issue.UnsupportedType},
		"a lossless JPEG":                 {patched(photo, sof+1, 0xc3), Limits{}, issue.UnsupportedType},
		"two frames":                      {slices.Concat(photo[:sof], photo[sof:scan], photo[sof:]), Limits{}, issue.Structure},
		"a JPEG in a JPEG":                {slices.Concat(photo[:2], photo), Limits{}, issue.Structure},
		"no picture":                      {[]byte("\xff\xd8\xff\xd9"), Limits{}, issue.Structure},
		"cut in the scan":                 {photo[:len(photo)-40], Limits{}, issue.Structure},
		"without its end":                 {photo[:len(photo)-2], Limits{}, issue.Structure},
		"cut in a header":                 {photo[:30], Limits{}, issue.Structure},
		"cut in a marker":                 {photo[:3], Limits{}, issue.Structure},
		"a segment shorter than its size": {patched(photo, 4, 255, 255)[:1000], Limits{}, issue.Structure},
		"600 scans":                       {append(ofScans, 0xff, mEOI), Limits{}, issue.TooLong},
		"60,000 segments":                 {ofSegments, Limits{}, issue.TooLong},
		"60,000 chunks":                   {ofChunks, Limits{}, issue.TooLong},
		"a profile of 10 MB":              {slices.Concat(photo[:2], profile, photo[2:]), Limits{}, issue.TooLong},
		"a GIF of 2,000 frames":           {aGIF(t, 2000), Limits{}, issue.TooLong},
		"a GIF cut":                       {aGIF(t, 1)[:200], Limits{}, issue.Structure},
		"a GIF without end":               {bytes.TrimSuffix(aGIF(t, 1), []byte{gifTrailer}), Limits{}, issue.Structure},
		"a PNG cut":                       {picture[:60], Limits{}, issue.Structure},
		"a PNG with a wrong checksum":     {patched(picture, 30, 9), Limits{}, issue.Structure},
		"a PNG without its header":        {slices.Concat(picture[:8], picture[33:]), Limits{}, issue.Structure},
		"a PNG with an unknown need":      {slices.Concat(picture[:33], appendChunk(nil, "ROSA", nil), picture[33:]), Limits{}, issue.UnsupportedType},
		"a WebP shorter than its header":  {[]byte("RIFF\x00\x00\x00\x00WEBPVP8 "), Limits{}, issue.Structure},
		"a WebP cut":                      {sample(t, "hopper.webp")[:2000], Limits{}, issue.Structure},
		"a TIFF of no size":               {[]byte("II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"), Limits{}, issue.Structure},
		"a HEIC cut":                      {sample(t, "cheers_1440x960.heic")[:300], Limits{}, issue.Structure},
		"a BMP cut":                       {append([]byte("BM\x00\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00\x40\x00\x00\x00\x40\x00\x00\x00\x01\x00\x18\x00"), make([]byte, 40)...), Limits{}, issue.Structure},
		"random bytes":                    {[]byte("\x00\x01\x02\x03\x04\x05"), Limits{}, issue.UnsupportedType},
	} {
		begin := time.Now()
		if _, err := inspect(c.b, c.lim); kindOf(err) != c.kind {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if _, _, err := strip(c.b); err == nil && c.kind == issue.Structure {
			t.Errorf("%s: was stripped", name)
		}
	}
}

// A decoder skips bytes between segments and restart markers that were lost; so does the reader.
func TestWhatDecodersForgive(t *testing.T) {
	photo := aJPEG(t, 64, 48)
	stray := slices.Concat(photo[:frameAt(photo)], []byte("Rosalind\xff\xd0"), photo[frameAt(photo):])
	out, removed, err := strip(stray)
	if err != nil || !slices.Equal(removed, []string{"stray-bytes"}) || !bytes.Equal(out, photo) {
		t.Errorf("%v %v", removed, err)
	}
	scan := bytes.Index(photo, []byte{0xff, mSOS})
	restarts := slices.Concat(photo[:scan+20], bytes.Repeat([]byte{0xff, mRST0}, 1000), photo[scan+20:])
	if f, err := inspect(restarts, Limits{}); err != nil || len(f.Private) > 0 {
		t.Errorf("%v %v", f.Private, err)
	}
}
