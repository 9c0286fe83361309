package lift

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"

	"github.com/dermgate/dermgate/mapping/image"
)

type state uint8

const (
	none   state = iota
	trial        // it is in Raw, and decoded as far as it goes
	lifted       // its token's place is in Raw, and behind that only what may turn out to be more of it
)

// payload is the encoded text that is being read. Its bytes come through letters, other, escape and gap, each
// once; what it decodes to goes to content, and from the first byte that canonical base64 would not give
// again, the bytes themselves to rest.
type payload struct {
	l       *lifter
	state   state
	at      int           // in Raw
	offset  int64         // in the original
	length  int64         // encoded bytes so far
	sure    bool          // it is a file, if it is base64
	doubt   byte          // this byte in it makes it less than sure
	place   func() string // of its value, as Part.Path says it; nil in JSON
	token   hash.Hash
	content spool
	rest    spool

	group    [4]byte // of letters
	n        int     // of them
	padded   bool    // the last group was
	deviated bool    // from canonical base64
	plain    int64   // bytes before it did
	broken   bool
}

func (p *payload) prepare(l *lifter) {
	p.l, p.token = l, sha256.New()
	p.content = spool{buf: make([]byte, 0, 48<<10+64), sums: []hash.Hash{sha256.New(), sha1.New()}}
	p.rest = spool{buf: make([]byte, 0, 32<<10), sums: []hash.Hash{p.token}}
}

// begin puts what follows on trial.
func (p *payload) begin(sure bool) {
	if len(p.l.parts) == mostParts {
		return
	}
	p.state, p.sure = trial, sure
	p.at, p.offset, p.length = len(p.l.raw), p.l.pos, 0
	p.n, p.padded, p.deviated, p.plain, p.broken = 0, false, false, 0, false
	p.content.reset()
	p.rest.reset()
}

// letters takes the letters that w begins with, and gives how many.
func (p *payload) letters(w []byte) int {
	if p.padded || p.broken {
		return 0
	}
	if p.state == trial {
		w = w[:min(len(w), p.l.limits.Threshold-int(p.length))]
	}
	n := 0
	for ; p.n > 0 && n < len(w) && letter(w[n]); n++ {
		p.note(w[n : n+1])
		if p.push(w[n]); p.broken { // its group holds something else
			return n + 1
		}
	}
	from := n
	for p.n == 0 {
		read, written := decodeGroups(p.content.room(p.l.store), w[n:])
		if read == 0 {
			break
		}
		p.content.buf = p.content.buf[:len(p.content.buf)+written]
		n += read
	}
	for n < len(w) && letter(w[n]) { // less than a group
		p.push(w[n])
		n++
	}
	if n > from {
		p.note(w[from:n])
	}
	return n
}

// other takes bytes that stand for themselves: one that is no letter, or what follows a fault.
func (p *payload) other(b []byte) {
	if !p.broken && space(b[0]) {
		p.deviate()
	}
	p.note(b)
	p.decoded(b)
}

// escape takes an escape sequence and what it stands for.
func (p *payload) escape(b, means []byte) {
	p.deviate()
	p.note(b)
	p.decoded(means)
}

// gap takes back what was passed into Raw as if it stood behind the payload.
func (p *payload) gap(from int) {
	if p.state == none || from == len(p.l.raw) {
		return
	}
	b := p.l.raw[from:]
	p.l.raw = p.l.raw[:from]
	p.deviate()
	p.note(b) // on trial: to where it was
	p.decoded(b)
}

// note counts encoded bytes, and keeps them where they are needed.
func (p *payload) note(b []byte) {
	p.length += int64(len(b))
	if p.state == trial {
		p.l.keep(b)
		return
	}
	if p.deviated {
		p.rest.write(p.l.store, b) // which hashes it
	} else {
		p.token.Write(b)
	}
	p.failed()
}

// failed passes on an error of the store.
func (p *payload) failed() {
	if p.content.err != nil {
		p.l.fail(p.content.err)
	}
	if p.rest.err != nil {
		p.l.fail(p.rest.err)
	}
}

func (p *payload) decoded(b []byte) {
	for _, c := range b {
		switch {
		case p.broken || p.state == none:
			return
		case c == p.doubt && c != 0:
			p.sure = false
		}
		if !space(c) {
			p.push(c)
		}
	}
}

// push adds a byte to the group, and decodes the group when it is complete.
func (p *payload) push(c byte) {
	p.group[p.n] = c
	if p.n++; p.padded {
		p.fault()
		return
	}
	if p.n < len(p.group) {
		return
	}
	out := p.content.room(p.l.store)
	n, err := base64.StdEncoding.Strict().Decode(out, p.group[:])
	if err != nil {
		p.fault()
		return
	}
	p.content.buf = p.content.buf[:len(p.content.buf)+n]
	p.n, p.padded = 0, n < 3
}

// deviate notes that canonical base64 gives the groups up to here again and no more.
func (p *payload) deviate() {
	if p.deviated {
		return
	}
	p.deviated, p.plain = true, p.length-int64(p.n)
	if p.state == lifted {
		p.rest.write(p.l.store, p.group[:p.n])
		p.rest.skip = p.n // they are in the token's hash
	}
}

// fault ends the decoding. On trial it ends the trial.
func (p *payload) fault() {
	p.deviate()
	p.broken, p.n = true, 0
	if p.state == trial {
		p.state = none
	}
}

// decide lifts a payload that has passed its trial.
func (p *payload) decide() {
	l := p.l
	if p.state != trial || p.length < int64(l.limits.Threshold) || l.err != nil {
		return
	}
	p.state = none
	if !p.sure && !known(image.Sniff(p.content.buf)) {
		return
	}
	if p.content.obj, p.content.err = l.store.Create(); p.content.err != nil {
		l.fail(p.content.err)
		return
	}
	p.state = lifted
	p.token.Reset()
	payload := l.raw[p.at:]
	if p.deviated {
		p.token.Write(payload[:p.plain])
		p.rest.write(l.store, payload[p.plain:])
	} else {
		p.token.Write(payload)
	}
	l.raw = l.raw[:p.at]
	l.keep(make([]byte, tokenSize))
}

// known tells the types whose first bytes cannot be chance.
func known(t image.Type) bool {
	return t != image.Unknown && t != image.Text && t != image.XML && t != image.HTML
}

// finish ends the payload: its trial, or with its token and part.
func (p *payload) finish() {
	l := p.l
	if p.state != lifted || l.err != nil {
		p.end()
		return
	}
	if p.n > 0 {
		p.fault()
	}
	p.content.close(l.store)
	if p.deviated {
		p.rest.close(l.store)
	}
	if p.failed(); l.err != nil {
		return // the objects are discarded with all others
	}
	word := token(p.token.Sum(nil))
	copy(l.raw[p.at:], word)
	part := Part{Offset: p.offset, Length: p.length, At: int64(p.at), Token: string(word), Encoding: Encoding,
		Size: p.content.size, Plain: p.length, Broken: p.broken, Content: p.content.obj}
	if p.deviated {
		part.Plain, part.Rest = p.plain, p.rest.obj
	}
	if p.place != nil {
		part.Path = p.place()
	}
	p.content.sums[0].Sum(part.SHA256[:0])
	p.content.sums[1].Sum(part.SHA1[:0])
	l.parts = append(l.parts, part)
	p.content.obj, p.rest.obj = nil, nil
	p.end()
}

func (p *payload) end() {
	if p.l.err == nil {
		p.state = none
	}
}

// discard gives up a payload that an error has cut off.
func (p *payload) discard() {
	for _, s := range []*spool{&p.content, &p.rest} {
		if s.obj != nil {
			s.obj.Discard()
		}
	}
}

func (p *payload) release() {
	p.place, p.doubt = nil, 0
	p.content.reset()
	p.rest.reset()
}
