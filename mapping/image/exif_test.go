package image

import (
	"encoding/binary"
	"slices"
	"testing"
)

func TestExifInBothByteOrders(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		x, err := readExif(inMemory(exifBlock(order, []tag{{id: tagOrientation, number: 5}}, []tag{
			{id: tagCaptured, bytes: []byte("2026:11:24 10:05:00\x00")}, {id: tagZone, bytes: []byte("-03:30\x00")}, {id: tagColourSpace, number: 1}}, false)))
		if err != nil || x.orientation != 5 || x.captured != "2026:11:24 10:05:00" || x.zone != "-03:30" || x.colourSpace != 1 || len(x.private) > 0 {
			t.Errorf("%v: %+v %v", order, x, err)
		}
	}
}

// What minimal writes, readExif reads back, for everything that may be kept.
func TestTheMinimalBlockSaysTheSame(t *testing.T) {
	for _, want := range []exif{
		{orientation: 6},
		{captured: "2026:11:24 10:05:00"},
		{orientation: 8, captured: "2026:11:24 10:05:00", zone: "+01:00"},
		{density: density{rational{300, 1}, rational{3000, 10}, 2}},
		{orientation: 2, density: density{rational{72, 1}, rational{72, 1}, 3}, captured: "2026:11:24 10:05:00", zone: "+01:00", colourSpace: 0xffff, adobeRGB: true},
	} {
		b := want.minimal()
		got, err := readExif(inMemory(b))
		if err != nil || len(got.private) > 0 || got.settings {
			t.Errorf("%+v: %v, private %v", want, err, got.private)
		}
		got.private, got.settings = nil, false
		if got.orientation != want.orientation || got.captured != want.captured || got.zone != want.zone || got.density != want.density ||
			got.colourSpace != want.colourSpace || got.adobeRGB != want.adobeRGB {
			t.Errorf("%+v came back as %+v", want, got)
		}
	}
	if b := (exif{orientation: 1}).minimal(); b != nil {
		t.Errorf("an empty block is %d bytes", len(b))
	}
}

// A broken block is never trusted to be harmless.
func TestBrokenExifIsPrivate(t *testing.T) {
	good := exifBlock(binary.LittleEndian, []tag{{id: tagOrientation, number: 6}}, nil, false)
	le := binary.LittleEndian
	patched := func(at int, v uint32) []byte {
		b := slices.Clone(good)
		le.PutUint32(b[at:], v)
		return b
	}
	loop := slices.Clone(good)
	le.PutUint32(loop[8+2+12*2:], 8) // the next directory is the first one
	many := []byte("II*\x00\x08\x00\x00\x00")
	for i := range 1000 { // a chain of directories, each an entry long
		many = writeTags(le, many, []tag{{id: 0x0103, number: 1}}, uint32(8+18*(i+1)))
	}
	for name, b := range map[string][]byte{
		"empty":                         nil,
		"no TIFF":                       []byte("XX*\x00\x08\x00\x00\x00"),
		"first directory outside":       patched(4, 0xffffffff),
		"EXIF directory outside":        patched(8+2+12+8, 0xfffffffe),
		"a loop":                        loop,
		"cut in a directory":            good[:20],
		"more directories than cameras": many,
	} {
		if x := readBlock(inMemory(b)); !slices.Contains(x.private, "exif") {
			t.Errorf("%s: %v", name, x.private)
		}
	}
}

// Text from EXIF is written into what travels on, so a date field may hold a date only.
func TestADateThatIsNoDateIsDropped(t *testing.T) {
	for _, text := range []string{"Rosalind Testcase !!\x00", "2026-11-24 10:05:00\x00", "    :  :     :  :  \x00", "2026\x00"} {
		x, err := readExif(inMemory(exifBlock(binary.LittleEndian, nil, []tag{{id: tagCaptured, bytes: []byte(text)}}, false)))
		if err != nil || x.captured != "" {
			t.Errorf("%q is a date: %q %v", text, x.captured, err)
		}
	}
}

func TestPrivateTagsAreNeverKept(t *testing.T) {
	for id, name := range privateTags {
		if plainTags[id] || keptTags[id] {
			t.Errorf("%#04x is both %s and harmless", id, name)
		}
	}
	for id := range keptTags {
		if !plainTags[id] {
			t.Errorf("%#04x is kept but not harmless", id)
		}
	}
}
