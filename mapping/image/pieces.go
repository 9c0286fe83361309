package image

import "sort"

// pieces are a file put together from stretches of another one and from bytes written anew.
type pieces struct {
	list    []piece
	size    int64 // bytes of all together
	written []byte
}

// piece is one of them; it ends where the next one begins.
type piece struct {
	at      int64 // in the file that is put together
	from    int64 // in the other file, or in written
	written bool
}

// keep adds a stretch of the other file.
func (p *pieces) keep(s section) { p.add(s.at, s.n, false) }

// write adds bytes.
func (p *pieces) write(b []byte) {
	p.add(int64(len(p.written)), int64(len(b)), true)
	p.written = append(p.written, b...)
}

// add makes one piece of neighbours, so that most photos are a handful.
func (p *pieces) add(from, n int64, written bool) {
	if n == 0 {
		return
	}
	if i := len(p.list) - 1; i < 0 || p.list[i].written != written || p.list[i].from+p.size-p.list[i].at != from {
		p.list = append(p.list, piece{p.size, from, written})
	}
	p.size += n
}

// find gives the piece in which a byte of the file that is put together stands, and how many bytes of the
// piece there are from it on.
func (p *pieces) find(at int64) (in piece, left int64) {
	next := sort.Search(len(p.list), func(i int) bool { return p.list[i].at > at })
	end := p.size
	if next < len(p.list) {
		end = p.list[next].at
	}
	return p.list[next-1], end - at
}
