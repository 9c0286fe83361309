package lift

import "hash"

// spool gathers what goes to one object, so that it gets few large pieces. The object is made when the first
// piece is full, or with the rest when the spool is closed.
type spool struct {
	buf  []byte
	skip int // bytes of buf that do not go into the sums
	sums []hash.Hash
	size int64
	obj  Object
	err  error
}

func (s *spool) reset() {
	s.buf, s.skip, s.size, s.obj, s.err = s.buf[:0], 0, 0, nil, nil
	for _, h := range s.sums {
		h.Reset()
	}
}

// room gives free memory behind the buffer, at least eight bytes of it.
func (s *spool) room(store Store) []byte {
	if cap(s.buf)-len(s.buf) < 8 {
		s.flush(store)
	}
	return s.buf[len(s.buf):cap(s.buf)]
}

func (s *spool) write(store Store, b []byte) {
	for len(b) > 0 {
		n := copy(s.buf[len(s.buf):cap(s.buf)], b)
		if s.buf, b = s.buf[:len(s.buf)+n], b[n:]; len(s.buf) == cap(s.buf) {
			s.flush(store)
		}
	}
}

func (s *spool) flush(store Store) {
	if s.err == nil && s.obj == nil {
		s.obj, s.err = store.Create()
	}
	if s.err == nil {
		_, s.err = s.obj.Write(s.buf)
	}
	for _, h := range s.sums {
		h.Write(s.buf[s.skip:])
	}
	s.skip = 0
	s.size += int64(len(s.buf))
	s.buf = s.buf[:0]
}

func (s *spool) close(store Store) {
	if len(s.buf) > 0 || s.obj == nil {
		s.flush(store)
	}
	if s.err == nil {
		s.err = s.obj.Close()
	}
}
