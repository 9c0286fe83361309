package image

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/dermgate/dermgate/mapping/issue"
)

const pngSignature = 8 // bytes

// chunk is one chunk of a PNG (ISO/IEC 15948 §5.3).
type chunk struct {
	kind  [4]byte
	whole section
	data  section
}

// walkPNG visits the chunks up to and with IEND and gives where the photo ends.
func walkPNG(b section, visit func(chunk) error) (end int64, err error) {
	for i := int64(pngSignature); i+12 <= b.n; {
		head := b.bytes(i, 8)
		if head == nil {
			return 0, cutOff()
		}
		n := int64(binary.BigEndian.Uint32(head))
		if n > b.n-i-12 {
			return 0, cutOff()
		}
		c := chunk{kind: [4]byte(head[4:]), whole: b.part(i, 12+n), data: b.part(i+8, n)}
		sum := checksum(b.part(i+4, 4+n))
		if want := b.bytes(i+8+n, 4); want == nil || sum != binary.BigEndian.Uint32(want) {
			return 0, issue.New(issue.Structure, "", "a PNG chunk with a wrong checksum")
		}
		if err := visit(c); err != nil {
			return 0, err
		}
		if i += c.whole.n; string(c.kind[:]) == "IEND" {
			return i, nil
		}
	}
	return 0, cutOff()
}

// checksum of a section, block by block (§5.5).
func checksum(s section) (sum uint32) {
	for at := int64(0); at < s.n; {
		b := s.some(at, 1)
		if b == nil {
			return 0
		}
		sum = crc32.Update(sum, crc32.IEEETable, b)
		at += int64(len(b))
	}
	return sum
}

func (a *anatomy) png(b section) error {
	a.keep(b.part(0, pngSignature))
	end, err := walkPNG(b, a.chunk)
	if err == nil && end < b.n {
		a.private("trailing")
	}
	return err
}

func (a *anatomy) chunk(c chunk) error {
	if err := a.part(); err != nil {
		return err
	}
	if (string(c.kind[:]) == "IHDR") != (a.parts == 1) {
		return issue.New(issue.Structure, "", "a PNG whose first chunk is not its header")
	}
	switch string(c.kind[:]) {
	case "IHDR":
		b := c.data.bytes(0, 13)
		if b == nil || c.data.n != 13 {
			return cutOff()
		}
		a.Width, a.Height = int(binary.BigEndian.Uint32(b)), int(binary.BigEndian.Uint32(b[4:]))
		a.Depth = int(b[8])
	case "iCCP":
		if err := a.packedProfile(c.data); err != nil {
			return err
		}
	case "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "cICP", "mDCV", "cLLI", "sBIT", "bKGD", "sPLT", "hIST":
	case "pHYs": // §11.3.4.3
		if b := c.data.bytes(0, 9); b != nil && b[8] == 1 {
			a.density = perMetre(binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]))
		}
	case "eXIf":
		stays, instead := a.block(c.data)
		if instead != nil {
			a.write(appendChunk(nil, "eXIf", instead))
		}
		if !stays {
			return nil
		}
	default:
		return a.otherChunk(c)
	}
	a.keep(c.whole)
	return nil
}

// packedProfile notes the profile of an iCCP chunk: a name, a zero, the method of compression, 0, and the profile
// (§11.3.2.3). It is unpacked once, since a few bytes of it can be many.
func (a *anatomy) packedProfile(data section) error {
	a.ICC = true
	name := data.index(0, 0)
	if method, ok := data.byteAt(name + 1); name < 0 || !ok || method != 0 {
		return nil
	}
	a.icc = profile{packed: true}
	if err := a.icc.add(data.rest(name + 2)); err != nil {
		return err
	}
	_, err := a.icc.bytes()
	return err
}

// otherChunk names what is no part of the picture. A chunk that decoders must know (a capital first letter,
// §5.4) and we do not cannot be left out.
func (a *anatomy) otherChunk(c chunk) error {
	switch string(c.kind[:]) {
	case "tEXt", "zTXt":
		a.private("comment")
	case "iTXt":
		if c.data.begins(pngXMP) {
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
