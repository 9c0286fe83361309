package photoworker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Work makes this process a worker, and ends it, when it was started as one. It is the first thing a program does that
// decodes photos.
func Work() {
	limits := os.Getenv(environment)
	if limits == "" {
		return
	}
	memory, seconds := int64(0), int64(0)
	if _, err := fmt.Sscan(limits, &memory, &seconds); err != nil || memory <= 0 || seconds <= 0 {
		os.Exit(2)
	}
	debug.SetMemoryLimit(memory / 2)
	if err := confine(uint64(memory), uint64(seconds)); err != nil {
		os.Exit(2)
	}
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	if serve(os.Stdin, out) != nil || out.Flush() != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// serve decodes one photo.
func serve(in io.Reader, out io.Writer) error {
	r := bufio.NewReader(in)
	var o order
	if err := readLine(r, 1<<10, &o); err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	p, err := decode(b, o.Type, o.Pixels)
	if err != nil {
		var i *issue.Issue
		if !errors.As(err, &i) {
			i = issue.New(issue.Structure, "", "a "+o.Type.String()+" that its decoder does not read")
		}
		return writeLine(out, reply{Refusal: &refusal{i.Kind, i.Where, i.Text}})
	}
	if err := writeLine(out, reply{Head: &p.Head}); err != nil {
		return err
	}
	return p.write(out)
}

// decoded is a photo in the worker.
type decoded struct {
	Head
	jpeg []byte
	row  func(y int, dst []byte)
}

func (p *decoded) write(out io.Writer) error {
	if p.JPEG {
		_, err := out.Write(p.jpeg)
		return err
	}
	row := make([]byte, p.Width*p.Samples)
	for y := range p.Height {
		p.row(y, row)
		if _, err := out.Write(row); err != nil {
			return err
		}
	}
	return nil
}

func decode(b []byte, t image.Type, most int64) (*decoded, error) {
	switch t {
	case image.DICOM:
		return decodeDICOM(b, most)
	case image.HEIC:
		return decodeHEIC(b, most)
	}
	return decodePlain(b, t, most)
}
