package image

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/dermgate/dermgate/mapping/issue"
)

const pngSignature = 8 // bytes

// chunk is one chunk of a PNG (ISO/IEC 15948 §5.3).
type chunk struct {
	kind  string
	whole []byte
	data  []byte
}

// walkPNG visits the chunks up to and with IEND and gives where the photo ends.
func walkPNG(b []byte, visit func(chunk) error) (end int, err error) {
	for i := pngSignature; i+12 <= len(b); {
		n := int64(binary.BigEndian.Uint32(b[i:]))
		if n > int64(len(b)-i-12) {
			return 0, cutOff()
		}
		c := chunk{whole: b[i : i+12+int(n)]}
		c.kind, c.data = string(c.whole[4:8]), c.whole[8:8+n]
		if crc32.ChecksumIEEE(c.whole[4:8+n]) != binary.BigEndian.Uint32(c.whole[8+n:]) {
			return 0, issue.New(issue.Structure, "", "a PNG chunk with a wrong checksum")
		}
		if err := visit(c); err != nil {
			return 0, err
		}
		if i += len(c.whole); c.kind == "IEND" {
			return i, nil
		}
	}
	return 0, cutOff()
}

func (a *anatomy) png(b []byte) error {
	a.keep = append(a.keep, b[:pngSignature])
	end, err := walkPNG(b, a.chunk)
	if err == nil && end < len(b) {
		a.private("trailing")
	}
	return err
}

func (a *anatomy) chunk(c chunk) error {
	if err := a.part(); err != nil {
		return err
	}
	if (c.kind == "IHDR") != (a.parts == 1) {
		return issue.New(issue.Structure, "", "a PNG whose first chunk is not its header")
	}
	switch c.kind {
	case "IHDR":
		if len(c.data) != 13 {
			return cutOff()
		}
		a.Width, a.Height = int(binary.BigEndian.Uint32(c.data)), int(binary.BigEndian.Uint32(c.data[4:]))
		a.Depth = int(c.data[8])
	case "iCCP":
		a.ICC = true
		if len(c.data) > mostProfile {
			return issue.New(issue.TooLong, "", "a colour profile larger than any device has")
		}
	case "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "cICP", "mDCV", "cLLI", "sBIT", "bKGD", "pHYs", "sPLT", "hIST":
	case "eXIf":
		c.whole = a.pngExif(c)
	default:
		return a.otherChunk(c)
	}
	a.keep = append(a.keep, c.whole)
	return nil
}

// pngExif gives the chunk as it may stay: itself, a minimal one, or nothing.
func (a *anatomy) pngExif(c chunk) []byte {
	stays, instead := a.block(c.data)
	switch {
	case stays:
		return c.whole
	case instead != nil:
		return appendChunk(nil, "eXIf", instead)
	}
	return nil
}

// otherChunk names what is no part of the picture. A chunk that decoders must know (a capital first letter,
// §5.4) and we do not cannot be left out.
func (a *anatomy) otherChunk(c chunk) error {
	switch c.kind {
	case "tEXt", "zTXt":
		a.private("comment")
	case "iTXt":
		if len(c.data) >= len(pngXMP) && string(c.data[:len(pngXMP)]) == pngXMP {
			a.private("xmp")
		} else {
			a.private("comment")
		}
	default:
		if c.kind[0]&0x20 == 0 {
			return issue.New(issue.UnsupportedType, "", "a PNG with a critical chunk that is not of the standard")
		}
		a.private("application-data") // tIME, APNG's frames, makers' own
	}
	return nil
}

const pngXMP = "XML:com.adobe.xmp\x00"

func appendChunk(dst []byte, kind string, data []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)))
	from := len(dst)
	dst = append(append(dst, kind...), data...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[from:]))
}
