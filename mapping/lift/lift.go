package lift

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strconv"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Format is how a message is written.
type Format uint8

// The formats that are read.
const (
	ER7 Format = iota
	JSON
)

// Store takes what is lifted. Create begins an object.
type Store interface{ Create() (Object, error) }

// Object is one file that is being lifted. Close says that all of it was written; Discard that it is not
// wanted, closed or not. Writes come in pieces of at least 32 KiB but for the last.
type Object interface {
	io.Writer
	Close() error
	Discard()
}

// Encoding of every payload.
const Encoding = "base64"

// Part is one file that was taken out of a message.
type Part struct {
	Path           string            // of the value in ER7, "OBX[2]-5[1].5", counted within its message; "" in JSON
	Offset, Length int64             // of the encoded payload in the original bytes
	At             int64             // of the token in Lifted.Raw
	Token          string            // what stands there
	Encoding       string            // "base64"
	SHA256         [sha256.Size]byte // of the content
	SHA1           [sha1.Size]byte   // of the content, for FHIR's Attachment.hash
	Size           int64             // bytes of content
	Plain          int64             // leading bytes of the payload that the canonical base64 of the content gives again
	Broken         bool              // the payload is not base64: Content is what could be decoded before the fault
	Content        Object            // closed
	Rest           Object            // the payload from Plain on, closed; nil when Plain is all of it
}

// Lifted is a message without its files.
type Lifted struct {
	Raw    []byte            // the message, each payload replaced by its token
	Parts  []Part            // in order
	SHA256 [sha256.Size]byte // of the original bytes
	Size   int64             // of the original
}

// Discard discards every object.
func (l *Lifted) Discard() {
	for _, p := range l.Parts {
		p.discard()
	}
}

func (p *Part) discard() {
	for _, o := range []Object{p.Content, p.Rest} {
		if o != nil {
			o.Discard()
		}
	}
}

// Original gives the original bytes, from Raw and from the objects as open reads them. It must be closed.
func (l *Lifted) Original(open func(Object) (io.ReadCloser, error)) io.ReadCloser {
	spans := make([]Span, len(l.Parts))
	for i, p := range l.Parts {
		spans[i] = Span{At: p.At, TokenLen: len(p.Token), Plain: p.Plain,
			Content: func() (io.ReadCloser, error) { return open(p.Content) }}
		if p.Rest != nil {
			spans[i].Rest = func() (io.ReadCloser, error) { return open(p.Rest) }
		}
	}
	return Rebuild(l.Raw, spans)
}

// Limits of a Read.
type Limits struct {
	Raw       int64 // bytes that stay in memory, with payloads on trial; 0: 16 MiB
	Threshold int   // bytes of encoded payload from which it is lifted; 0: 16 KiB; at most 64 KiB
}

// Threshold is the bytes of encoded payload from which it is lifted, where Limits says nothing: a shorter
// message has nothing to lift.
const Threshold = 16 << 10

const (
	defaultRaw    = 16 << 20
	mostThreshold = 64 << 10 // what it decodes to fits the buffer of a payload on trial
	mostParts     = 1000     // further payloads stay in Raw: each part is a file that is open until it is kept
)

func (l *Limits) fill() {
	if l.Raw <= 0 {
		l.Raw = defaultRaw
	}
	if l.Threshold <= 0 {
		l.Threshold = Threshold
	}
	l.Threshold = min(l.Threshold, mostThreshold)
}

func (l *Limits) tooLong() error {
	return issue.New(issue.TooLong, "", "more than "+strconv.FormatInt(l.Raw, 10)+" bytes beside the files that were taken out")
}

// Read reads a message to its end and lifts its files into s. It holds Raw and about 160 KiB, whatever the
// size. An error is one of r or s as it is, or an *issue.Issue of kind TooLong when more than the limit would
// stay in memory; what was lifted by then is discarded.
func Read(r io.Reader, f Format, s Store, limits Limits) (*Lifted, error) {
	limits.fill()
	l := lifters.Get().(*lifter)
	defer l.release()
	l.begin(r, s, limits)
	if f == JSON {
		(&document{lifter: l}).read()
	} else {
		(&message{lifter: l}).read()
	}
	if l.err != nil {
		l.discard()
		return nil, l.err
	}
	out := &Lifted{Raw: l.raw, Parts: l.parts, Size: l.pos}
	l.sum.Sum(out.SHA256[:0])
	return out, nil
}

const (
	tokenStart = "lifted00" // base64 and a multiple of four
	tokenSize  = len(tokenStart) + 2*sha256.Size
)

func token(sum []byte) []byte {
	return hex.AppendEncode([]byte(tokenStart), sum)
}
