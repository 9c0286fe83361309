package image

import "encoding/binary"

// box is one box of an ISO base media file (ISO/IEC 14496-12 §4.2).
type box struct {
	kind [4]byte
	data section
}

// boxes visits a run of boxes.
func (a *anatomy) boxes(b section, visit func(box) error) error {
	for b.n > 0 {
		if err := a.part(); err != nil {
			return err
		}
		head := b.bytes(0, 8)
		if head == nil {
			return cutOff()
		}
		kind := [4]byte(head[4:])
		size, header := uint64(binary.BigEndian.Uint32(head)), int64(8)
		switch {
		case size == 0: // to the end
			size = uint64(b.n)
		case size == 1 && b.n >= 16:
			if head = b.bytes(8, 8); head == nil {
				return cutOff()
			}
			size, header = binary.BigEndian.Uint64(head), 16
		}
		if size < uint64(header) || size > uint64(b.n) {
			return cutOff()
		}
		if err := visit(box{kind, b.part(header, int64(size)-header)}); err != nil {
			return err
		}
		b = b.rest(int64(size))
	}
	return nil
}

// bmff reads a HEIC or AVIF as far as size, depth, colour profile and the presence of metadata (ISO/IEC
// 23008-12 §6.5, §9). Their bytes stand at offsets all over the file, so nothing can be cut out.
func (a *anatomy) bmff(b section) error {
	return a.boxes(b, func(top box) error {
		switch string(top.kind[:]) {
		case "meta":
			if top.data.n < 4 {
				return cutOff()
			}
			return a.boxes(top.data.rest(4), a.metaBox)
		case "moov":
			a.private("mpf") // a film beside the picture
		case "uuid":
			a.private("application-data")
		}
		return nil
	})
}

func (a *anatomy) metaBox(m box) error {
	switch string(m.kind[:]) {
	case "iprp":
		return a.boxes(m.data, func(p box) error {
			if string(p.kind[:]) != "ipco" {
				return nil
			}
			return a.boxes(p.data, a.property)
		})
	case "iinf":
		skip := int64(6) // version and flags, a count of 16 bits
		if version, ok := m.data.byteAt(0); ok && version > 0 {
			skip = 8
		}
		if m.data.n < skip {
			return cutOff()
		}
		return a.boxes(m.data.rest(skip), a.item)
	}
	return nil
}

// property reads one item property; of several pictures (tiles, thumbnails) the largest counts.
func (a *anatomy) property(p box) error {
	switch string(p.kind[:]) {
	case "ispe":
		b := p.data.bytes(0, 12)
		if b == nil {
			return nil
		}
		w, h := int(binary.BigEndian.Uint32(b[4:])), int(binary.BigEndian.Uint32(b[8:]))
		if int64(w)*int64(h) > int64(a.Width)*int64(a.Height) {
			a.Width, a.Height = w, h
		}
	case "pixi":
		if b := p.data.bytes(0, 6); b != nil {
			a.Depth = max(a.Depth, int(b[5]))
		}
	case "colr":
		a.ICC = a.ICC || p.data.begins("prof") || p.data.begins("rICC")
	}
	return nil
}

// item names metadata items: EXIF is not read, so it is private as a whole.
func (a *anatomy) item(i box) error {
	if string(i.kind[:]) != "infe" || i.data.n < 12 {
		return nil
	}
	kind := i.data.rest(8) // behind version, flags, item id of 16 bits, protection index
	if version, ok := i.data.byteAt(0); ok && version > 2 {
		kind = i.data.rest(10)
	}
	switch {
	case kind.begins("Exif"):
		a.private("exif")
	case kind.begins("mime"), kind.begins("uri"):
		a.private("xmp")
	}
	return nil
}
