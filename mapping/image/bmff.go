package image

import (
	"bytes"
	"encoding/binary"
	"slices"
)

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

// heif is what is read of a HEIC or AVIF (ISO/IEC 23008-12).
type heif struct {
	*anatomy
	file  section
	exif  int64   // the item that is EXIF; -1: none
	place section // the iloc box: where items stand
	see   func(box) error
}

// bmff reads a HEIC or AVIF as far as size, depth, colour profile and metadata (ISO/IEC 23008-12 §6.5, §9). Their bytes
// stand at offsets all over the file, so nothing can be cut out.
func (a *anatomy) bmff(b section) error {
	h := heif{anatomy: a, file: b, exif: -1, see: a.property}
	if err := h.read(b); err != nil {
		return err
	}
	h.readExif()
	return nil
}

func (h *heif) read(b section) error {
	return h.boxes(b, func(top box) error {
		switch string(top.kind[:]) {
		case "meta":
			if top.data.n < 4 {
				return cutOff()
			}
			return h.boxes(top.data.rest(4), h.metaBox)
		case "moov":
			h.private("mpf") // a film beside the picture
		case "uuid":
			h.private("application-data")
		}
		return nil
	})
}

func (h *heif) metaBox(m box) error {
	switch string(m.kind[:]) {
	case "iprp":
		return h.boxes(m.data, func(p box) error {
			if string(p.kind[:]) != "ipco" {
				return nil
			}
			return h.boxes(p.data, h.see)
		})
	case "iloc":
		h.place = m.data
	case "iinf":
		skip := int64(6) // version and flags, a count of 16 bits
		if version, ok := m.data.byteAt(0); ok && version > 0 {
			skip = 8
		}
		if m.data.n < skip {
			return cutOff()
		}
		return h.boxes(m.data.rest(skip), h.item)
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
		if a.ICC || !p.data.begins("prof") && !p.data.begins("rICC") {
			return nil
		}
		a.ICC = true
		return a.icc.add(p.data.rest(4))
	}
	return nil
}

// item names metadata items. EXIF cannot be cut out, so it is private whatever is in it.
func (h *heif) item(i box) error {
	if string(i.kind[:]) != "infe" || i.data.n < 12 {
		return nil
	}
	id, kind := int64(0), i.data.rest(8) // behind version, flags, item id of 16 bits, protection index
	if version, ok := i.data.byteAt(0); ok && version > 2 {
		kind, id = i.data.rest(10), int64(binary.BigEndian.Uint32(i.data.bytes(4, 4)))
	} else {
		id = int64(binary.BigEndian.Uint16(i.data.bytes(4, 2)))
	}
	switch {
	case kind.begins("Exif"):
		h.private("exif")
		h.exif = id
	case kind.begins("mime"), kind.begins("uri"):
		h.private("xmp")
	}
	return nil
}

// readExif reads the EXIF item (§A.2.1): four bytes say how many stand before the TIFF structure. Which way up the photo is,
// its boxes say, not EXIF.
func (h *heif) readExif() {
	item := h.located(h.exif)
	head := item.bytes(0, 4)
	if head == nil {
		return
	}
	skip := 4 + int64(binary.BigEndian.Uint32(head))
	if skip >= item.n {
		return
	}
	h.anatomy.exif(readBlock(item.rest(skip)))
	h.Orientation = 1
}

// located gives where an item stands, if it is in one piece (ISO/IEC 14496-12 §8.11.3).
func (h *heif) located(id int64) section {
	r := fields{s: h.place}
	version := r.number(1)
	r.number(3)
	sizes := r.number(2)
	offset, length, base, index := sizes>>12, sizes>>8&15, sizes>>4&15, sizes&15
	wide := int64(2)
	if version > 1 {
		wide = 4
	}
	if version == 0 {
		index = 0
	}
	for items := r.number(wide); items > 0 && !r.done; items-- {
		this, method := r.number(wide), int64(0)
		if version > 0 {
			method = r.number(2) & 15
		}
		r.number(2)
		from := r.number(base)
		extents := r.number(2)
		for n := extents; n > 0 && !r.done; n-- {
			r.number(index)
			at := from + r.number(offset)
			size := r.number(length)
			if this == id && method == 0 && extents == 1 && !r.done && at > 0 && size > 0 && at <= h.file.n-size {
				return h.file.part(at, size)
			}
		}
	}
	return section{w: h.file.w}
}

// fields reads numbers one after the other. Behind the end it gives 0 and is done.
type fields struct {
	s    section
	at   int64
	done bool
}

// number reads one of up to eight bytes.
func (f *fields) number(size int64) (v int64) {
	if size == 0 {
		return 0
	}
	if size > 8 || f.done || f.s.w == nil {
		f.done = true
		return 0
	}
	b := f.s.bytes(f.at, size)
	if f.done = b == nil; f.done {
		return 0
	}
	f.at += size
	for _, c := range b {
		v = v<<8 | int64(c)
	}
	return v
}

// Property is an item property of a HEIC (ISO/IEC 23008-12 §9.3): its four letters, and what is in it.
type Property struct {
	Kind string
	Data []byte
}

// Properties gives the item properties of a HEIC that are of some kinds, in their order, as far as they can be read.
func Properties(f File, kinds ...string) (out []Property) {
	w := newWindow(f)
	h := heif{anatomy: new(anatomy), exif: -1}
	h.see = func(p box) error {
		if kind := string(p.kind[:]); slices.Contains(kinds, kind) && p.data.n <= mostProfile {
			out = append(out, Property{kind, bytes.Clone(p.data.bytes(0, p.data.n))})
		}
		return nil
	}
	_ = h.read(w.whole())
	return out
}
