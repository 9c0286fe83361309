package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// verdict is what became of a file: where it goes and what is written beside it.
type verdict struct {
	folder string // done or refused
	suffix string // of the answer's name
	answer []byte // empty: nothing is written
	reason string // why it never became a message
}

// errChanged: the file was not the same at the end as at the beginning.
var errChanged = errors.New("it changed while it was read")

// take brings one file all its way. An error is trouble that the next file would have as well, of the folder
// or the store; a file's own trouble is noted with it.
func (w *worker) take(ctx context.Context, d *folder, f entry) error {
	c, err := d.claim(f, w.now())
	if errors.Is(err, fs.ErrNotExist) { // its sender took it back
		return nil
	}
	if err != nil {
		w.later(f, fmt.Errorf("it cannot be claimed: %w", bare(err)))
		return nil
	}
	v, err := w.judge(ctx, d, c)
	var own *ownTrouble
	switch {
	case errors.As(err, &own) && w.tries(f)+1 >= mostTries:
		if v.folder == "" {
			v = reason(own.Error())
		}
	case errors.As(err, &own):
		d.giveBack(c)
		w.later(f, own)
		return nil
	case err != nil:
		d.giveBack(c)
		return err
	}
	if err := d.finish(c, v); err != nil {
		return fmt.Errorf("a file was accepted and cannot be put in its place: %w", bare(err))
	}
	if v.reason != "" {
		w.logOf(f).Warn("file refused", "reason", v.reason, "bytes", f.info.Size())
	}
	return nil
}

// ownTrouble is a failure that belongs to one file.
type ownTrouble struct{ error }

func (o *ownTrouble) Unwrap() error { return o.error }

// judge reads a claimed file and hands it over. An error that is no ownTrouble stops the whole look; with one
// there may be a verdict for the case that it was tried often enough.
func (w *worker) judge(ctx context.Context, d *folder, c claim) (verdict, error) {
	raw, err := d.read(c, w.limit())
	switch {
	case errors.Is(err, errTooLarge):
		return reason(fmt.Sprintf("larger than %d bytes (limits.message_bytes)", w.limit())), nil
	case errors.Is(err, fs.ErrPermission):
		return reason("the gateway may not read it"), nil
	case err != nil:
		return verdict{}, &ownTrouble{fmt.Errorf("it cannot be read: %w", bare(err))}
	case len(raw) == 0:
		return reason("empty"), nil
	}
	in := flow.Received{Source: w.Name, Subject: w.Subject, At: w.now(), Format: formatOf(raw), Raw: raw}
	ctx, cancel := context.WithTimeout(ctx, acceptTime)
	defer cancel()
	receipt, err := w.accept(ctx, in)
	switch {
	case errors.Is(err, flow.ErrConflict):
		return reason("its control id was accepted before with other content"), nil
	case errors.Is(err, flow.ErrUnavailable) || err != nil && ctx.Err() != nil:
		return verdict{}, fmt.Errorf("not kept: %w", err)
	case err != nil:
		w.log().Error("message not kept", "source", w.Name, "path", w.Path, "file", hashed(c.name), "error", err)
		return verdict{}, &ownTrouble{errors.New("internal error, the message was not kept")}
	case !d.unchanged(c):
		return verdict{}, &ownTrouble{errChanged}
	case receipt.Unkept:
		return verdictOf(in.Format, receipt), &ownTrouble{errors.New("the last messages of the batch were not kept")}
	}
	return verdictOf(in.Format, receipt), nil
}

func reason(text string) verdict {
	return verdict{folder: refused, suffix: reasonSuffix, answer: []byte(text + "\n"), reason: text}
}

// verdictOf puts a receipt's answers one after another.
func verdictOf(format flow.Format, r flow.Receipt) verdict {
	v := verdict{folder: done, suffix: hl7Suffix}
	if r.Refused {
		v.folder = refused
	}
	end := byte('\r') // of a segment
	if format == flow.FHIRR4 {
		v.suffix, end = fhirSuffix, '\n'
	}
	for _, a := range append([][]byte{r.Answer}, r.Answers...) {
		v.answer = append(v.answer, a...)
		if len(a) > 0 && a[len(a)-1] != end {
			v.answer = append(v.answer, end)
		}
	}
	return v
}

// formatOf tells FHIR JSON, which begins with a brace, from HL7 v2.
func formatOf(raw []byte) flow.Format {
	text := bytes.TrimLeft(bytes.TrimPrefix(raw, []byte("\ufeff")), " \t\r\n")
	if bytes.HasPrefix(text, []byte("{")) {
		return flow.FHIRR4
	}
	return flow.HL7v2
}

// later leaves a file alone for a while after a failure of its own.
func (w *worker) later(f entry, err error) {
	s := w.seen[f.place()]
	s.tries++
	s.next = time.Now().Add(backoff(w.poll(), s.tries))
	if s.tries <= mostTries { // one that cannot even be claimed would fill the log
		w.logOf(f).Warn("file left for later", "reason", err.Error(), "attempt", s.tries)
	}
}

func (w *worker) tries(f entry) int { return w.seen[f.place()].tries }

func (w *worker) logOf(f entry) *slog.Logger {
	return w.log().With("source", w.Name, "path", w.Path, "file", hashed(f.name))
}

// hashed stands for a file name where nobody may read it.
func hashed(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:6])
}

// bare takes the file names out of an error of the file system.
func bare(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
