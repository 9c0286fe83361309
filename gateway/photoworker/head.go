package photoworker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"

	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/image/dicom"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Head is what is known of a photo before its rows.
type Head struct {
	Width, Height int    // pixels, upright where Upright says so, else as stored
	Samples       int    // a pixel: 1 grey, 3 red, green and blue
	ICC           []byte // the colour profile of a DICOM; nil: none. That of another file is read without decoding (image.Profile)
	Upright       bool   // turned already as the file says
	Blended       bool   // was transparent in places, and lies on white now
	Reduced       bool   // had more than 8 bits a sample
	JPEG          bool   // instead of rows a JPEG follows, which the file held
	DICOM         *dicom.Photo
}

// order is what the worker is asked.
type order struct {
	Type   image.Type
	Pixels int64
}

// refusal is why the worker gives nothing.
type refusal struct {
	Kind  issue.Kind
	Where string
	Text  string
}

// reply begins what the worker gives: what follows it is a JPEG, or rows.
type reply struct {
	Refusal *refusal `json:",omitempty"`
	Head    *Head    `json:",omitempty"`
}

// mostReply is how long a reply may be: a profile of 4 MiB in base64, and the rest.
const mostReply = 8 << 20

// readLine reads a line of JSON of no more than some bytes.
func readLine(r *bufio.Reader, most int, into any) error {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > most {
			return bufio.ErrTooLong
		}
		line = append(line, part...)
		if err == nil {
			break
		}
		if err != bufio.ErrBufferFull {
			return err
		}
	}
	return json.Unmarshal(line, into)
}

func writeLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(bytes.TrimSpace(b), '\n'))
	return err
}
