package lift

import (
	"bytes"
	"encoding/base64"
	"io"
	"math/rand"
	"strings"
	"testing"
)

// memory is a store that a test looks into.
type memory struct {
	objects []*object
	fail    map[string]error // by step: create, write, close
}

type object struct {
	bytes.Buffer
	of        *memory
	pieces    []int
	closed    bool
	discarded bool
}

func (m *memory) Create() (Object, error) {
	if err := m.fail["create"]; err != nil {
		return nil, err
	}
	o := &object{of: m}
	m.objects = append(m.objects, o)
	return o, nil
}

func (o *object) Write(p []byte) (int, error) {
	if err := o.of.fail["write"]; err != nil {
		return 0, err
	}
	if o.closed || o.discarded {
		panic("written after its end")
	}
	o.pieces = append(o.pieces, len(p))
	return o.Buffer.Write(p)
}

func (o *object) Close() error {
	if err := o.of.fail["close"]; err != nil {
		return err
	}
	o.closed = true
	return nil
}

func (o *object) Discard() { o.discarded = true }

func open(o Object) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(o.(*object).Bytes())), nil
}

// steps gives its bytes n at a time.
type steps struct {
	b []byte
	n int
}

func (s *steps) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.n)], s.b)
	s.b = s.b[n:]
	return n, nil
}

var small = Limits{Raw: 1 << 20, Threshold: 64}

func read(t testing.TB, f Format, b []byte, step int) *Lifted {
	t.Helper()
	l, err := Read(&steps{b, step}, f, &memory{}, small)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func original(t testing.TB, l *Lifted) []byte {
	t.Helper()
	r := l.Original(open)
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func content(p Part) string { return p.Content.(*object).String() }

func rest(p Part) string {
	if p.Rest == nil {
		return ""
	}
	return p.Rest.(*object).String()
}

// photo gives n bytes that begin like a JPEG.
func photo(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	copy(b, "\xff\xd8\xff\xe0")
	return b
}

func encoded(n int) string { return base64.StdEncoding.EncodeToString(photo(n)) }

// oru is a message whose OBX-5 is value.
func oru(value string) string {
	return "MSH|^~\\&|A|B|C|D|20260105||ORU^R01|1|P|2.4\rPID|1||9990548609\rOBR|1\rOBX|1|ED|PHOTO^X||" + value + "||||||F\rNTE|1||after\r"
}

// wrap breaks text into lines.
func wrap(s string, n int, end string) string {
	var b strings.Builder
	for len(s) > n {
		b.WriteString(s[:n] + end)
		s = s[n:]
	}
	return b.String() + s
}
