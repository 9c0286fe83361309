package photoworker

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
)

// mostProfile is how long a colour profile may be, in bytes; that of a phone has 500.
const mostProfile = 4 << 20

// iccOfPNG gives the profile of the iCCP chunk (PNG §11.3.3.3).
func iccOfPNG(b []byte) []byte {
	for b = b[min(8, len(b)):]; len(b) >= 12; {
		n, name := int64(binary.BigEndian.Uint32(b)), string(b[4:8])
		if n > int64(len(b))-12 || name == "IDAT" {
			return nil
		}
		if data := b[8 : 8+n]; name == "iCCP" {
			_, packed, ok := bytes.Cut(data, []byte{0})
			if !ok || len(packed) < 1 || packed[0] != 0 {
				return nil
			}
			z, err := zlib.NewReader(bytes.NewReader(packed[1:]))
			if err != nil {
				return nil
			}
			icc, err := io.ReadAll(io.LimitReader(z, mostProfile+1))
			if err != nil || len(icc) > mostProfile {
				return nil
			}
			return icc
		}
		b = b[12+n:]
	}
	return nil
}

// iccOfWebP gives the ICCP chunk of the extended format.
func iccOfWebP(b []byte) []byte {
	for b = b[min(12, len(b)):]; len(b) >= 8; {
		n := int64(binary.LittleEndian.Uint32(b[4:]))
		if n > int64(len(b))-8 {
			return nil
		}
		if string(b[:4]) == "ICCP" && n <= mostProfile {
			return b[8 : 8+n]
		}
		b = b[min(8+n+n%2, int64(len(b))):]
	}
	return nil
}

// iccOfTIFF gives the value of tag 34675 of the first directory.
func iccOfTIFF(b []byte) []byte {
	if len(b) < 8 {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return nil
	}
	for i := range int64(order.Uint16(b[at:])) {
		e := at + 2 + 12*i
		if e+12 > int64(len(b)) {
			return nil
		}
		if order.Uint16(b[e:]) != 34675 {
			continue
		}
		n, from := int64(order.Uint32(b[e+4:])), int64(order.Uint32(b[e+8:]))
		if n <= 4 || n > mostProfile || from+n > int64(len(b)) {
			return nil
		}
		return b[from : from+n]
	}
	return nil
}

// iccOfHEIC gives the profile of the first colr box of kind prof or rICC (ISO 23008-12, ISO 14496-12 §12.1.5).
func iccOfHEIC(b []byte) []byte {
	meta := box(b, "meta")
	if len(meta) < 4 {
		return nil
	}
	props := box(box(meta[4:], "iprp"), "ipco")
	for len(props) > 0 {
		name, body, rest := nextBox(props)
		if name == "colr" && len(body) > 4 && (string(body[:4]) == "prof" || string(body[:4]) == "rICC") && len(body) <= mostProfile {
			return body[4:]
		}
		props = rest
	}
	return nil
}

// box gives the body of the first box of a name.
func box(b []byte, want string) []byte {
	for len(b) > 0 {
		name, body, rest := nextBox(b)
		if name == want {
			return body
		}
		b = rest
	}
	return nil
}

// nextBox takes the first box; no name when there is none.
func nextBox(b []byte) (name string, body, rest []byte) {
	if len(b) < 8 {
		return "", nil, nil
	}
	n, head := uint64(binary.BigEndian.Uint32(b)), uint64(8)
	switch {
	case n == 0:
		n = uint64(len(b))
	case n == 1 && len(b) >= 16:
		n, head = binary.BigEndian.Uint64(b[8:]), 16
	}
	if n < head || n > uint64(len(b)) {
		return "", nil, nil
	}
	return string(b[4:8]), b[head:n], b[n:]
}
