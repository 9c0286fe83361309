package redis

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/dermgate/dermgate/gateway/flow"
)

// What a record is kept as: the letter of its packing, then Zstandard (RFC 8878) with our dictionary of the length of its
// JSON, the JSON, and its bytes, if any. Together they share what they have in common. A record of layout 1 is JSON that
// begins with '{', its bytes are in the hash body.
const packed = 'z'

// dictionary is a part of the layout: what was packed with it cannot be read without it, so it is never changed. A better
// one gets another number, and both are given to the decoder.
//
//go:embed dictionary1.txt
var dictionary []byte

const dictionaryNumber = 1

// mostUnpacked is the largest record that is read, in bytes.
const mostUnpacked = 64 << 20

// packer packs and unpacks. Both halves may be used by many at the same time.
type packer struct {
	writer *zstd.Encoder
	reader *zstd.Decoder
}

func newPacker() (packer, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderDictRaw(dictionaryNumber, dictionary),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return packer{}, err
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(dictionaryNumber, dictionary), zstd.WithDecoderMaxMemory(mostUnpacked),
		zstd.WithDecoderLowmem(true))
	return packer{w, r}, err
}

// pack gives what is kept of a record and its bytes.
func (p packer) pack(v any, inline []byte) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // for shortness, and so that JSON within is left as it is
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	b := make([]byte, 0, text.Len()+len(inline)+binary.MaxVarintLen64)
	b = append(binary.AppendUvarint(b, uint64(text.Len())), text.Bytes()...)
	return p.writer.EncodeAll(append(b, inline...), append(make([]byte, 0, 256+len(b)/4), packed)), nil
}

// unpack reads a record of this layout or of the one before; what names it in an error. inline is nil where the record
// has no bytes, or where they are kept apart.
func (p packer) unpack(what, kept string, into any) (inline []byte, err error) {
	text := []byte(kept)
	if kept != "" && kept[0] == packed {
		if text, err = p.reader.DecodeAll(text[1:], nil); err != nil {
			return nil, fmt.Errorf("redis: a damaged %s: %w", what, err)
		}
		n, size := binary.Uvarint(text)
		if size <= 0 || n > uint64(len(text)-size) {
			return nil, fmt.Errorf("redis: a damaged %s", what)
		}
		text, inline = text[size:size+int(n)], text[size+int(n):]
	}
	if err := json.Unmarshal(text, into); err != nil {
		return nil, fmt.Errorf("redis: a damaged %s: %w", what, err)
	}
	if len(inline) == 0 {
		return nil, nil
	}
	return inline, nil
}

// How bytes were packed in layout 1: their first byte.
const (
	plain    = 'p'
	deflated = 'd' // RFC 1951
)

// bytesOf reads what the hash body holds: bytes of a record of layout 1.
func bytesOf(kept string) ([]byte, error) {
	switch {
	case kept == "":
		return nil, nil
	case kept[0] == plain:
		return []byte(kept[1:]), nil
	case kept[0] == deflated:
		out, err := io.ReadAll(flate.NewReader(strings.NewReader(kept[1:])))
		if err != nil {
			return nil, fmt.Errorf("redis: a damaged body: %w", err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("redis: a body packed in an unknown way")
}

// legible are bytes that most often are text or JSON. They are kept as that, so that packing finds in them what it knows;
// base64, as encoding/json writes bytes, would hide it.
type legible []byte

func (l legible) MarshalJSON() ([]byte, error) {
	if len(l) > 0 && l[0] == '{' {
		var same bytes.Buffer
		if json.Compact(&same, l) == nil && bytes.Equal(same.Bytes(), l) {
			return l, nil
		}
	}
	if !utf8.Valid(l) {
		return json.Marshal([]byte(l))
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode("=" + string(l)) // no base64 begins so
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

func (l *legible) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		*l = bytes.Clone(b)
		return nil
	}
	var text *string
	if err := json.Unmarshal(b, &text); err != nil || text == nil {
		*l = nil
		return err
	}
	if after, ok := strings.CutPrefix(*text, "="); ok {
		*l = legible(after)
		return nil
	}
	out, err := base64.StdEncoding.DecodeString(*text)
	*l = out
	return err
}

// keptMessage is a message as it is kept: what is in it twice, or in its name, is left out. A pointer is nil for that; layout 2
// had all of it.
type keptMessage struct {
	*flow.Message
	ID      *flow.ID    `json:"id,omitempty"`
	Raw     keptBody    `json:"raw"`
	Facts   legible     `json:"facts,omitempty"`
	Receipt keptReceipt `json:"receipt"`
	Idem    keptIdem    `json:"idem"`
}

type keptReceipt struct {
	*flow.Receipt
	Message *flow.ID `json:"message,omitempty"` // nil: the message
	Case    *flow.ID `json:"case,omitempty"`    // nil: that of the message
	Answer  legible  `json:"answer"`
}

type keptIdem struct {
	Key    string  `json:"key"`
	Digest *string `json:"digest,omitempty"` // nil: the hash of the message
}

// keptBody is a body without its bytes.
type keptBody struct {
	Blob   string `json:"blob,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // empty: as the bytes have it
	Size   int64  `json:"size,omitempty"`   // 0: as many as there are
	Type   string `json:"type,omitempty"`
}

func bodyKept(b flow.BodyRef) keptBody {
	kept := keptBody{b.Blob, b.SHA256, b.Size, b.Type}
	if len(b.Inline) == 0 {
		return kept
	}
	if b.SHA256 == sha256Of(b.Inline) {
		kept.SHA256 = ""
	}
	if b.Size == int64(len(b.Inline)) {
		kept.Size = 0
	}
	return kept
}

// with gives a body with its bytes.
func (k keptBody) with(inline []byte) flow.BodyRef {
	b := flow.BodyRef{Inline: inline, Blob: k.Blob, SHA256: k.SHA256, Size: k.Size, Type: k.Type}
	if len(inline) > 0 && b.SHA256 == "" {
		b.SHA256 = sha256Of(inline)
	}
	if b.Size == 0 {
		b.Size = int64(len(inline))
	}
	return b
}

func sha256Of(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// differing gives what is to be kept of a value: nothing where it is known anyway.
func differing[T comparable](v, known T) *T {
	if v == known {
		return nil
	}
	return &v
}

// or gives a kept value, or what it was known to be.
func or[T any](kept *T, known T) T {
	if kept != nil {
		return *kept
	}
	return known
}

func (p packer) message(m flow.Message) ([]byte, error) {
	return p.pack(keptMessage{Message: &m, Raw: bodyKept(m.Raw), Facts: m.Facts, Idem: keptIdem{m.Idem.Key, differing(m.Idem.Digest, m.Raw.SHA256)},
		Receipt: keptReceipt{&m.Receipt, differing(m.Receipt.Message, m.ID), differing(m.Receipt.Case, m.Case), m.Receipt.Answer}}, m.Raw.Inline)
}

// messageOf reads a message by its id.
func (p packer) messageOf(id flow.ID, text string) (flow.Message, error) {
	var m flow.Message
	kept := keptMessage{Message: &m, Receipt: keptReceipt{Receipt: &m.Receipt}}
	inline, err := p.unpack("message", text, &kept)
	m.ID, m.Facts, m.Raw = id, kept.Facts, kept.Raw.with(inline)
	m.Idem = flow.Idem{Key: kept.Idem.Key, Digest: or(kept.Idem.Digest, m.Raw.SHA256)}
	m.Receipt.Message, m.Receipt.Case, m.Receipt.Answer = or(kept.Receipt.Message, id), or(kept.Receipt.Case, m.Case), kept.Receipt.Answer
	return m, err
}

// keptCase is a case as it is kept.
type keptCase struct {
	*flow.CaseRecord
	State legible `json:"state"`
}

func (p packer) record(r flow.CaseRecord) ([]byte, error) {
	return p.pack(keptCase{&r, r.State}, nil)
}

// recordOf reads a case as lua/lib.lua keeps it: version, token, record.
func (p packer) recordOf(text string) (flow.CaseRecord, error) {
	var r flow.CaseRecord
	kept := keptCase{CaseRecord: &r}
	parts := strings.SplitN(text, " ", 3)
	_, err := p.unpack("case", parts[len(parts)-1], &kept)
	r.State = kept.State
	return r, err
}

// story gives what is kept of events that happened together.
func (p packer) story(events []flow.Event) ([]byte, error) { return p.pack(events, nil) }

// storyOf reads them; layout 1 kept each event by itself.
func (p packer) storyOf(kept string) ([]flow.Event, error) {
	if strings.HasPrefix(kept, "{") {
		one := make([]flow.Event, 1)
		_, err := p.unpack("event", kept, &one[0])
		return one, err
	}
	var events []flow.Event
	_, err := p.unpack("story", kept, &events)
	return events, err
}
