package image

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Blocks of a GIF (GIF89a specification §17 to §26).
const (
	gifImage, gifExtension, gifTrailer          = 0x2c, 0x21, 0x3b
	gifControl, gifComment, gifText, gifApplied = 0xf9, 0xfe, 0x01, 0xff
)

// gif takes a GIF apart: comments and applications' data go, the frames and their timing stay.
func (a *anatomy) gif(b []byte) error {
	if len(b) < 13 {
		return cutOff()
	}
	a.Width, a.Height = int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:]))
	a.Depth = 8
	i := 13 + colourTable(b[10])
	if i > len(b) {
		return cutOff()
	}
	a.keep = append(a.keep, b[:i])
	for frames := 0; i < len(b); {
		if err := a.part(); err != nil {
			return err
		}
		var end int
		switch b[i] {
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
		if name := a.gifPrivate(b[i:end]); name != "" {
			a.private(name)
		} else {
			a.keep = append(a.keep, b[i:end])
		}
		i = end
	}
	return cutOff()
}

func (a *anatomy) gifEnd(b []byte, end, frames int) error {
	if frames == 0 {
		return issue.New(issue.Structure, "", "a GIF without a picture")
	}
	a.keep = append(a.keep, b[end-1:end])
	if end < len(b) {
		a.private("trailing")
	}
	return nil
}

// gifFrame gives the end of an image block; a frame larger than the canvas counts for the size.
func (a *anatomy) gifFrame(b []byte, i int) int {
	if i+11 > len(b) {
		return -1
	}
	le := binary.LittleEndian
	a.Width = max(a.Width, int(le.Uint16(b[i+1:]))+int(le.Uint16(b[i+5:])))
	a.Height = max(a.Height, int(le.Uint16(b[i+3:]))+int(le.Uint16(b[i+7:])))
	return gifBlocks(b, i+10+colourTable(b[i+9])+1) // one byte of LZW code size
}

// gifBlocks gives the end of a chain of data sub-blocks (§15), -1 when it is cut off.
func gifBlocks(b []byte, i int) int {
	for i < len(b) {
		n := int(b[i])
		if i += 1 + n; n == 0 {
			return i
		}
	}
	return -1
}

// colourTable gives the length in bytes of the colour table that a packed field announces.
func colourTable(packed byte) int {
	if packed&0x80 == 0 {
		return 0
	}
	return 3 << (packed&7 + 1)
}

// gifPrivate names a block that is no part of the picture. The loop count and the colour profile are.
func (a *anatomy) gifPrivate(block []byte) string {
	if block[0] != gifExtension {
		return ""
	}
	switch label := block[1]; {
	case label == gifControl && len(block) == 8:
		return ""
	case label == gifComment, label == gifText:
		return "comment"
	case label == gifApplied && bytes.HasPrefix(block[2:], []byte("\x0bICCRGBG1012")):
		a.ICC = true
		return ""
	case label == gifApplied && bytes.HasPrefix(block[2:], []byte("\x0bXMP Data")):
		return "xmp"
	case label == gifApplied && (strings.HasPrefix(string(block[2:]), "\x0bNETSCAPE2.0\x03\x01") || strings.HasPrefix(string(block[2:]), "\x0bANIMEXTS1.0\x03\x01")) && len(block) == 19:
		return ""
	}
	return "application-data"
}
