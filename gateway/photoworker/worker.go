package photoworker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// mostProcessor is what a worker may take of a processor: a photo that waits for one on a busy machine is not to blame.
const mostProcessor = 30 * time.Second

// environment marks the process of a worker.
const environment = "DERMGATE_PHOTO_WORKER"

// Decoder decodes photos in worker processes. The zero Decoder starts this program again, which has to call Work.
type Decoder struct {
	Command []string      // of the worker; nil: this program
	Within  time.Duration // for one photo, of which 30 s may be processor time; 0: 30 s
	Memory  int64         // bytes of a worker; 0: 1 GiB
}

// Raster is a photo being decoded. Rows come from top to bottom.
type Raster struct {
	Head
	worker *worker
	rows   *bufio.Reader
	left   int
}

// worker is one process.
type worker struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	ctx    context.Context
	fed    chan error
	end    func() error // ends it, once; the error is that of reading the photo
}

// Taken tells the types that can be decoded.
func Taken(t image.Type) bool {
	switch t {
	case image.PNG, image.GIF, image.BMP, image.TIFF, image.WebP, image.HEIC, image.DICOM:
		return true
	}
	return false
}

// Open starts to decode a photo of at most so many pixels. The error is an *issue.Issue of what is wrong with it: a
// worker that died, or took too long, is one of kind Structure. A *image.ReadError says that the photo could not be read,
// any other error that no worker could be started. The Raster must be closed.
func (d *Decoder) Open(ctx context.Context, f image.File, t image.Type, most int64) (*Raster, error) {
	if !Taken(t) {
		return nil, issue.New(issue.UnsupportedType, "", t.String()+" is not turned into another type: send a JPEG or PNG")
	}
	w, out, err := d.start(ctx, f, order{t, most})
	if err != nil {
		return nil, fmt.Errorf("photoworker: start a worker: %w", err)
	}
	r := &Raster{worker: w, rows: bufio.NewReaderSize(out, 64<<10)}
	var answer reply
	if err := readLine(r.rows, mostReply, &answer); err != nil {
		return nil, w.died()
	}
	if no := answer.Refusal; no != nil {
		if err := w.end(); err != nil {
			return nil, err
		}
		return nil, issue.New(no.Kind, no.Where, no.Text)
	}
	if answer.Head == nil || answer.Head.Width < 1 || answer.Head.Height < 1 || int64(answer.Head.Width)*int64(answer.Head.Height) > most || answer.Head.Samples != 1 && answer.Head.Samples != 3 {
		return nil, w.died()
	}
	r.Head, r.left = *answer.Head, answer.Head.Height
	return r, nil
}

// start starts a worker and feeds it the photo.
func (d *Decoder) start(ctx context.Context, f image.File, o order) (*worker, io.Reader, error) {
	command := d.Command
	if command == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, nil, err
		}
		command = []string{self}
	}
	within := d.Within
	if within <= 0 {
		within = 30 * time.Second
	}
	w := &worker{fed: make(chan error, 1)}
	w.ctx, w.cancel = context.WithTimeout(ctx, within)
	w.cmd = exec.CommandContext(w.ctx, command[0], command[1:]...)
	w.cmd.Env = []string{fmt.Sprintf("%s=%d %d", environment, d.memory(), int64(min(within, mostProcessor)/time.Second)+1)} // nothing of ours
	w.cmd.WaitDelay = time.Second
	in, err := w.cmd.StdinPipe()
	if err != nil {
		w.cancel()
		return nil, nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		w.cancel()
		return nil, nil, err
	}
	if err := w.cmd.Start(); err != nil {
		w.cancel()
		return nil, nil, err
	}
	context.AfterFunc(w.ctx, func() { out.Close() }) // whoever else may hold the other end
	w.end = sync.OnceValue(func() error {
		w.cancel()
		_ = w.cmd.Wait() // it was told to go
		return <-w.fed
	})
	go func() {
		err := writeLine(in, o)
		if err == nil {
			err = feed(in, f)
		}
		in.Close()
		w.fed <- err
	}()
	return w, out, nil
}

func (d *Decoder) memory() int64 {
	if d.Memory > 0 {
		return d.Memory
	}
	return 1 << 30
}

// feed copies a photo; the error is a *image.ReadError, or none: a worker that reads no further has its reason.
func feed(to io.Writer, f image.File) error {
	buf := make([]byte, 64<<10)
	for at := int64(0); at < f.Size(); {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), f.Size()-at)], at)
		if n == 0 {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return &image.ReadError{Cause: err}
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return nil
		}
		at += int64(n)
	}
	return nil
}

// died ends a worker that gave less than it should, and says why.
func (w *worker) died() error {
	late := errors.Is(w.ctx.Err(), context.DeadlineExceeded)
	gone := w.ctx.Err()
	var unread *image.ReadError
	if err := w.end(); errors.As(err, &unread) {
		return unread
	}
	switch {
	case late:
		return issue.New(issue.Structure, "", "a photo that takes too long to decode")
	case gone != nil:
		return gone
	}
	return issue.New(issue.Structure, "", "a photo that its decoder broke on")
}

// Row reads the next row into dst, Width*Samples bytes. The error is as that of Open.
func (r *Raster) Row(dst []byte) error {
	if r.left == 0 || r.JPEG || len(dst) != r.Width*r.Samples {
		return fmt.Errorf("photoworker: no such row")
	}
	if _, err := io.ReadFull(r.rows, dst); err != nil {
		return r.worker.died()
	}
	r.left--
	return nil
}

// Bytes reads the JPEG that the file held, of no more than some bytes.
func (r *Raster) Bytes(most int64) ([]byte, error) {
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r.rows, most+1))
	switch {
	case !r.JPEG:
		return nil, fmt.Errorf("photoworker: no JPEG")
	case err != nil || n == 0:
		return nil, r.worker.died()
	case n > most:
		return nil, issue.New(issue.TooLong, "", "a photo that grew while it was unpacked")
	}
	return out.Bytes(), nil
}

// Close ends the worker.
func (r *Raster) Close() { _ = r.worker.end() }
