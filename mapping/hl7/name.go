package hl7

// name is a segment's letters packed, so that comparing is one instruction: three, or the four that some
// senders give their Z segments (Dorset's ZRF1). 0 is no name.
type name uint32

// nameOf reads the name at the start of b, by what may follow it: the field separator or, sep being 0,
// anything. 0 when there is none.
func nameOf[T []byte | string](b T, sep byte) name {
	if len(b) < 3 || !upper(b[0]) || !nameByte(b[1]) || !nameByte(b[2]) {
		return 0
	}
	n := name(b[0])<<16 | name(b[1])<<8 | name(b[2])
	rest := b[3:]
	if b[0] == 'Z' && len(rest) > 0 && nameByte(rest[0]) {
		n, rest = n<<8|name(rest[0]), rest[1:]
	}
	if sep != 0 && len(rest) > 0 && rest[0] != sep {
		return 0
	}
	return n
}

// packed is the name that s is as a whole, 0 when it is none.
func packed(s string) name {
	if n := nameOf(s, 0); n != 0 && n.len() == uint32(len(s)) {
		return n
	}
	return 0
}

func (n name) len() uint32 {
	if n>>24 != 0 {
		return 4
	}
	return 3
}

// letters packs a text for a comparison with a name that is one: unlike packed it does not look whether the
// text could be a name, since one that could not equals none.
func letters(s string) name {
	switch {
	case len(s) == 3:
		return name(s[0])<<16 | name(s[1])<<8 | name(s[2])
	case len(s) == 4 && s[0] == 'Z':
		return name(s[0])<<24 | name(s[1])<<16 | name(s[2])<<8 | name(s[3])
	}
	return 0
}

// append writes the letters.
func (n name) append(dst []byte) []byte {
	if n>>24 != 0 {
		dst = append(dst, byte(n>>24))
	}
	return append(dst, byte(n>>16), byte(n>>8), byte(n))
}

func (n name) String() string { return string(n.append(make([]byte, 0, 4))) }

func nameByte(c byte) bool { return upper(c) || digit(c) }

// The segments the parser or the grouping rules know by name.
const (
	msh = name('M')<<16 | name('S')<<8 | name('H')
	fhs = name('F')<<16 | name('H')<<8 | name('S')
	bhs = name('B')<<16 | name('H')<<8 | name('S')
	obx = name('O')<<16 | name('B')<<8 | name('X')
	nte = name('N')<<16 | name('T')<<8 | name('E')
	aig = name('A')<<16 | name('I')<<8 | name('G')
	ail = name('A')<<16 | name('I')<<8 | name('L')
	aip = name('A')<<16 | name('I')<<8 | name('P')
	ais = name('A')<<16 | name('I')<<8 | name('S')
	aut = name('A')<<16 | name('U')<<8 | name('T')
	ctd = name('C')<<16 | name('T')<<8 | name('D')
	dg1 = name('D')<<16 | name('G')<<8 | name('1')
	in1 = name('I')<<16 | name('N')<<8 | name('1')
	in2 = name('I')<<16 | name('N')<<8 | name('2')
	in3 = name('I')<<16 | name('N')<<8 | name('3')
	obr = name('O')<<16 | name('B')<<8 | name('R')
	orc = name('O')<<16 | name('R')<<8 | name('C')
	mrg = name('M')<<16 | name('R')<<8 | name('G')
	pd1 = name('P')<<16 | name('D')<<8 | name('1')
	pid = name('P')<<16 | name('I')<<8 | name('D')
	pr1 = name('P')<<16 | name('R')<<8 | name('1')
	prd = name('P')<<16 | name('R')<<8 | name('D')
	pv1 = name('P')<<16 | name('V')<<8 | name('1')
	pv2 = name('P')<<16 | name('V')<<8 | name('2')
	rgs = name('R')<<16 | name('G')<<8 | name('S')
	spm = name('S')<<16 | name('P')<<8 | name('M')
	tq1 = name('T')<<16 | name('Q')<<8 | name('1')
	txa = name('T')<<16 | name('X')<<8 | name('A')
)

// header tells the segments whose field 1 is the field separator.
func (n name) header() bool { return n == msh || n == fhs || n == bhs }

// local tells a site's own segment: its first letter is Z.
func (n name) local() bool { return byte(n>>16) == 'Z' && n>>24 == 0 || byte(n>>24) == 'Z' }

// tally counts segments by name: the few names of an ordinary message in a row, further ones in a map.
type tally struct {
	few [16]struct {
		name  name
		count uint32
	}
	used int
	many map[name]uint32
}

func (t *tally) reset() {
	t.used = 0
	clear(t.many)
}

// add counts one more and gives the sum.
func (t *tally) add(n name) uint32 {
	for i := range t.few[:t.used] {
		if t.few[i].name == n {
			t.few[i].count++
			return t.few[i].count
		}
	}
	if t.used < len(t.few) {
		t.few[t.used].name, t.few[t.used].count = n, 1
		t.used++
		return 1
	}
	if t.many == nil {
		t.many = map[name]uint32{}
	}
	k := t.many[n] + 1
	t.many[n] = k
	return k
}

// of gives the count of a name.
func (t *tally) of(n name) uint32 {
	for i := range t.few[:t.used] {
		if t.few[i].name == n {
			return t.few[i].count
		}
	}
	return t.many[n]
}

func letter(c byte) bool { return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }
func upper(c byte) bool  { return c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }
