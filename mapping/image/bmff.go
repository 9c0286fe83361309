package image

import (
	"encoding/binary"
	"strings"
)

// box is one box of an ISO base media file (ISO/IEC 14496-12 §4.2).
type box struct {
	kind string
	data []byte
}

// boxes visits a run of boxes.
func (a *anatomy) boxes(b []byte, visit func(box) error) error {
	for len(b) > 0 {
		if err := a.part(); err != nil {
			return err
		}
		if len(b) < 8 {
			return cutOff()
		}
		size, header := uint64(binary.BigEndian.Uint32(b)), uint64(8)
		switch {
		case size == 0: // to the end
			size = uint64(len(b))
		case size == 1 && len(b) >= 16:
			size, header = binary.BigEndian.Uint64(b[8:]), 16
		}
		if size < header || size > uint64(len(b)) {
			return cutOff()
		}
		if err := visit(box{string(b[4:8]), b[header:size]}); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// bmff reads a HEIC or AVIF as far as size, depth, colour profile and the presence of metadata (ISO/IEC
// 23008-12 §6.5, §9). Their bytes stand at offsets all over the file, so nothing can be cut out.
func (a *anatomy) bmff(b []byte) error {
	return a.boxes(b, func(top box) error {
		switch top.kind {
		case "meta":
			if len(top.data) < 4 {
				return cutOff()
			}
			return a.boxes(top.data[4:], a.metaBox)
		case "moov":
			a.private("mpf") // a film beside the picture
		case "uuid":
			a.private("application-data")
		}
		return nil
	})
}

func (a *anatomy) metaBox(m box) error {
	switch m.kind {
	case "iprp":
		return a.boxes(m.data, func(p box) error {
			if p.kind != "ipco" {
				return nil
			}
			return a.boxes(p.data, a.property)
		})
	case "iinf":
		skip := 6 // version and flags, a count of 16 bits
		if len(m.data) > 0 && m.data[0] > 0 {
			skip = 8
		}
		if len(m.data) < skip {
			return cutOff()
		}
		return a.boxes(m.data[skip:], a.item)
	}
	return nil
}

// property reads one item property; of several pictures (tiles, thumbnails) the largest counts.
func (a *anatomy) property(p box) error {
	switch {
	case p.kind == "ispe" && len(p.data) >= 12:
		w, h := int(binary.BigEndian.Uint32(p.data[4:])), int(binary.BigEndian.Uint32(p.data[8:]))
		if int64(w)*int64(h) > int64(a.Width)*int64(a.Height) {
			a.Width, a.Height = w, h
		}
	case p.kind == "pixi" && len(p.data) >= 6:
		a.Depth = max(a.Depth, int(p.data[5]))
	case p.kind == "colr" && len(p.data) >= 4:
		a.ICC = a.ICC || string(p.data[:4]) == "prof" || string(p.data[:4]) == "rICC"
	}
	return nil
}

// item names metadata items: EXIF is not read, so it is private as a whole.
func (a *anatomy) item(i box) error {
	if i.kind != "infe" || len(i.data) < 12 {
		return nil
	}
	at := 8 // version, flags, item id of 16 bits, protection index
	if i.data[0] > 2 {
		at = 10
	}
	switch kind := string(i.data[at:min(at+4, len(i.data))]); {
	case kind == "Exif":
		a.private("exif")
	case kind == "mime" || strings.HasPrefix(kind, "uri"):
		a.private("xmp")
	}
	return nil
}
