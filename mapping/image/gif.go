package image

import (
	"encoding/binary"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Blocks of a GIF (GIF89a specification §17 to §26).
const (
	gifImage, gifExtension, gifTrailer          = 0x2c, 0x21, 0x3b
	gifControl, gifComment, gifText, gifApplied = 0xf9, 0xfe, 0x01, 0xff
)

// gif takes a GIF apart: comments and applications' data go, the frames and their timing stay.
func (a *anatomy) gif(b section) error {
	head := b.bytes(0, 13)
	if head == nil {
		return cutOff()
	}
	a.Width, a.Height = int(binary.LittleEndian.Uint16(head[6:])), int(binary.LittleEndian.Uint16(head[8:]))
	a.Depth = 8
	i := 13 + colourTable(head[10])
	if i > b.n {
		return cutOff()
	}
	a.keep(b.part(0, i))
	for frames := 0; ; {
		kind, ok := b.byteAt(i)
		if !ok {
			return cutOff()
		}
		if err := a.part(); err != nil {
			return err
		}
		var end int64
		switch kind {
		case gifTrailer:
			return a.gifEnd(b, i+1, frames)
		case gifExtension:
			end = gifBlocks(b, i+2)
		case gifImage:
			if frames++; frames > mostFrames {
				return issue.New(issue.TooLong, "", "a GIF of more frames than are taken")
			}
			end = a.gifFrame(b, i)
		default:
			return issue.New(issue.Structure, "", "a GIF with a block that is none")
		}
		if end < 0 {
			return cutOff()
		}
		block := b.part(i, end-i)
		if name := a.gifPrivate(kind, block); name != "" {
			a.private(name)
		} else {
			a.keep(block)
		}
		i = end
	}
}

func (a *anatomy) gifEnd(b section, end int64, frames int) error {
	if frames == 0 {
		return issue.New(issue.Structure, "", "a GIF without a picture")
	}
	a.keep(b.part(end-1, 1))
	if end < b.n {
		a.private("trailing")
	}
	return nil
}

// gifFrame gives the end of an image block; a frame larger than the canvas counts for the size.
func (a *anatomy) gifFrame(b section, i int64) int64 {
	frame := b.bytes(i, 11)
	if frame == nil {
		return -1
	}
	le := binary.LittleEndian
	a.Width = max(a.Width, int(le.Uint16(frame[1:]))+int(le.Uint16(frame[5:])))
	a.Height = max(a.Height, int(le.Uint16(frame[3:]))+int(le.Uint16(frame[7:])))
	return gifBlocks(b, i+10+colourTable(frame[9])+1) // one byte of LZW code size
}

// gifBlocks gives the end of a chain of data sub-blocks (§15), -1 when it is cut off.
func gifBlocks(b section, i int64) int64 {
	for {
		n, ok := b.byteAt(i)
		if !ok {
			return -1
		}
		if i += 1 + int64(n); n == 0 {
			return i
		}
	}
}

// colourTable gives the length in bytes of the colour table that a packed field announces.
func colourTable(packed byte) int64 {
	if packed&0x80 == 0 {
		return 0
	}
	return 3 << (packed&7 + 1)
}

// gifProfile notes a profile in sub-blocks (ICC.1 annex B.5), unless it is larger than any device has.
func (a *anatomy) gifProfile(data section) bool {
	a.icc = profile{}
	for n, ok := data.byteAt(0); ok && n > 0; n, ok = data.byteAt(0) {
		if a.icc.add(data.part(1, int64(n))) != nil {
			a.icc = profile{}
			return false
		}
		data = data.rest(1 + int64(n))
	}
	return len(a.icc.parts) > 0
}

// gifPrivate names a block that is no part of the picture. The loop count and the colour profile are.
func (a *anatomy) gifPrivate(kind byte, block section) string {
	if kind != gifExtension {
		return ""
	}
	label, _ := block.byteAt(1)
	switch data := block.rest(2); {
	case label == gifControl && block.n == 8:
		return ""
	case label == gifComment, label == gifText:
		return "comment"
	case label == gifApplied && data.begins("\x0bICCRGBG1012"):
		if a.ICC = a.gifProfile(data.rest(12)); a.ICC {
			return ""
		}
	case label == gifApplied && data.begins("\x0bXMP Data"):
		return "xmp"
	case label == gifApplied && block.n == 19 && (data.begins("\x0bNETSCAPE2.0\x03\x01") || data.begins("\x0bANIMEXTS1.0\x03\x01")):
		return ""
	}
	return "application-data"
}
