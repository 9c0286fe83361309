package bolt

// OpenLate opens a store whose late entries move once most have gathered.
func OpenLate(path string, most int) (*Store, error) { return open(path, compactFree, 0, most, nil) }

// Late tells how many entries are in memory.
func (s *Store) Late() (n int) {
	for _, g := range s.late.now() {
		n += len(g.entries)
	}
	return n
}
