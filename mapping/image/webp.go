package image

import (
	"encoding/binary"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Flags of a VP8X chunk (RFC 9649 §2.7.1).
const (
	webpXMP  = 0x04
	webpEXIF = 0x08
)

// webpReader takes a WebP apart.
type webpReader struct {
	*anatomy
	frames  int
	flags   int // place of the VP8X chunk's flags in written; 0: none
	picture bool
}

const riffHeader = 12 // bytes; the length in it counts from behind itself

func (a *anatomy) webp(b section) error {
	head := b.bytes(0, riffHeader)
	if head == nil {
		return cutOff()
	}
	end := 8 + int64(binary.LittleEndian.Uint32(head[4:]))
	if end < riffHeader || end > b.n {
		return cutOff()
	}
	if end < b.n {
		a.private("trailing")
	}
	r := webpReader{anatomy: a}
	a.write(head) // its length is settled in the end
	for body := b.part(riffHeader, end-riffHeader); body.n > 0; {
		head := body.bytes(0, 8)
		if head == nil {
			return cutOff()
		}
		n := int64(binary.LittleEndian.Uint32(head[4:]))
		whole := 8 + n + n&1 // chunks have an even length
		if whole > body.n {
			return cutOff()
		}
		if err := r.chunk([4]byte(head), body.part(0, whole), body.part(8, n)); err != nil {
			return err
		}
		body = body.rest(whole)
	}
	if !r.picture {
		return issue.New(issue.Structure, "", "a WebP without a picture")
	}
	r.settle()
	return nil
}

func (r *webpReader) chunk(kind [4]byte, whole, data section) error {
	if err := r.part(); err != nil {
		return err
	}
	switch string(kind[:]) {
	case "VP8X":
		return r.extended(whole, data)
	case "VP8 ", "VP8L":
		r.picture = true
		if err := r.stream(string(kind[:]) == "VP8L", data); err != nil {
			return err
		}
	case "ANMF":
		r.picture = true
		if r.frames++; r.frames > mostFrames {
			return issue.New(issue.TooLong, "", "a WebP of more frames than are taken")
		}
	case "ICCP":
		r.ICC = true
		if err := r.icc.add(data); err != nil {
			return err
		}
	case "ALPH", "ANIM":
	case "EXIF":
		stays, instead := r.webpExif(data)
		if !stays {
			r.write(riffChunk("EXIF", instead))
			return nil
		}
	case "XMP ":
		r.private("xmp")
		return nil
	default:
		r.private("application-data")
		return nil
	}
	r.keep(whole)
	return nil
}

// extended reads the VP8X chunk, whose first byte says what else there is.
func (r *webpReader) extended(whole, data section) error {
	b := data.bytes(0, 10)
	if b == nil || r.flags > 0 {
		return cutOff()
	}
	r.Width, r.Height = 1+int(uint24(b[4:])), 1+int(uint24(b[7:]))
	r.keep(whole.part(0, 8))
	r.flags = len(r.written)
	r.write(b[:1])
	r.keep(whole.rest(9))
	return nil
}

// stream reads the size from the first bytes of the pixels (RFC 6386 §9.1, RFC 9649 §3.4).
func (r *webpReader) stream(lossless bool, data section) error {
	b := data.bytes(0, 10)
	if b == nil {
		return cutOff()
	}
	w, h := int(binary.LittleEndian.Uint16(b[6:])&0x3fff), int(binary.LittleEndian.Uint16(b[8:])&0x3fff)
	if lossless {
		bits := binary.LittleEndian.Uint32(b[1:])
		w, h = int(bits&0x3fff)+1, int(bits>>14&0x3fff)+1
	}
	r.Width, r.Height, r.Depth = max(r.Width, w), max(r.Height, h), 8
	return nil
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// webpExif decides on an EXIF chunk as block does; some writers keep the prefix of JPEG in it.
func (r *webpReader) webpExif(data section) (stays bool, instead []byte) {
	if data.begins(exifName) {
		data = data.rest(int64(len(exifName)))
	}
	return r.block(data)
}

// settle corrects the headers for what is kept.
func (r *webpReader) settle() {
	if r.flags > 0 {
		r.written[r.flags] &^= webpXMP
		if len(r.meta.private) > 0 && r.meta.minimal() == nil { // nothing of it was worth keeping
			r.written[r.flags] &^= webpEXIF
		}
	}
	binary.LittleEndian.PutUint32(r.written[4:], uint32(r.size-8))
}

// riffChunk writes a chunk; nothing for no data.
func riffChunk(kind string, data []byte) []byte {
	if data == nil {
		return nil
	}
	out := binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(data)))
	out = append(out, data...)
	if len(data)%2 == 1 {
		out = append(out, 0)
	}
	return out
}
