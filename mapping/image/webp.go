package image

import (
	"bytes"
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
	frames   int
	extended int // place of the VP8X chunk in keep; 0: none
	picture  bool
}

func (a *anatomy) webp(b []byte) error {
	end := 8 + int64(binary.LittleEndian.Uint32(b[4:]))
	if end > int64(len(b)) {
		return cutOff()
	}
	if end < int64(len(b)) {
		a.private("trailing")
	}
	r := webpReader{anatomy: a}
	a.keep = append(a.keep, nil) // the RIFF header, which needs the length
	for body := b[12:end]; len(body) > 0; {
		if len(body) < 8 {
			return cutOff()
		}
		n := int64(binary.LittleEndian.Uint32(body[4:]))
		whole := 8 + n + n&1 // chunks have an even length
		if whole > int64(len(body)) {
			return cutOff()
		}
		if err := r.chunk(string(body[:4]), body[:whole], body[8:8+n]); err != nil {
			return err
		}
		body = body[whole:]
	}
	if !r.picture {
		return issue.New(issue.Structure, "", "a WebP without a picture")
	}
	r.settle()
	return nil
}

func (r *webpReader) chunk(kind string, whole, data []byte) error {
	if err := r.part(); err != nil {
		return err
	}
	switch kind {
	case "VP8X":
		if len(data) < 10 || r.extended > 0 {
			return cutOff()
		}
		r.extended = len(r.keep)
		r.Width, r.Height = 1+int(uint24(data[4:])), 1+int(uint24(data[7:]))
	case "VP8 ", "VP8L":
		r.picture = true
		if err := r.stream(kind, data); err != nil {
			return err
		}
	case "ANMF":
		r.picture = true
		if r.frames++; r.frames > mostFrames {
			return issue.New(issue.TooLong, "", "a WebP of more frames than are taken")
		}
	case "ICCP":
		r.ICC = true
		if len(data) > mostProfile {
			return issue.New(issue.TooLong, "", "a colour profile larger than any device has")
		}
	case "ALPH", "ANIM":
	case "EXIF":
		whole = r.webpExif(whole, data)
	case "XMP ":
		r.private("xmp")
		return nil
	default:
		r.private("application-data")
		return nil
	}
	r.keep = append(r.keep, whole)
	return nil
}

// stream reads the size from the first bytes of the pixels (RFC 6386 §9.1, RFC 9649 §3.4).
func (r *webpReader) stream(kind string, data []byte) error {
	if len(data) < 10 {
		return cutOff()
	}
	w, h := int(binary.LittleEndian.Uint16(data[6:])&0x3fff), int(binary.LittleEndian.Uint16(data[8:])&0x3fff)
	if kind == "VP8L" {
		bits := binary.LittleEndian.Uint32(data[1:])
		w, h = int(bits&0x3fff)+1, int(bits>>14&0x3fff)+1
	}
	r.Width, r.Height, r.Depth = max(r.Width, w), max(r.Height, h), 8
	return nil
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// webpExif gives the chunk as it may stay: itself, a minimal one, or nothing.
func (r *webpReader) webpExif(whole, data []byte) []byte {
	stays, instead := r.block(bytes.TrimPrefix(data, []byte(exifName))) // some writers keep the JPEG prefix
	if stays {
		return whole
	}
	return riffChunk("EXIF", instead)
}

// settle writes the headers for what is kept.
func (r *webpReader) settle() {
	if r.extended > 0 {
		fixed := bytes.Clone(r.keep[r.extended])
		fixed[8] &^= webpXMP
		if len(r.meta.private) > 0 && r.meta.minimal() == nil { // nothing of it was worth keeping
			fixed[8] &^= webpEXIF
		}
		r.keep[r.extended] = fixed
	}
	size := 4
	for _, k := range r.keep {
		size += len(k)
	}
	head := append([]byte("RIFF"), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(head[4:], uint32(size))
	r.keep[0] = append(head, "WEBP"...)
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
