package fhir

import (
	"io"
	"testing"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"
)

func BenchmarkBuild(b *testing.B) {
	t := NewTree()
	b.ReportAllocs()
	for b.Loop() {
		t.Reset()
		if _, err := sample(t); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	s, err := sample(NewTree())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if l := Validate(s.Root); l != nil {
			b.Fatal(l)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	s, err := sample(NewTree())
	if err != nil {
		b.Fatal(err)
	}
	buf, err := AppendJSON(nil, s.Root)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = AppendJSON(buf[:0], s.Root); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	in := sampleJSON(b)
	for _, o := range []struct {
		name string
		ReadOptions
	}{{"alone", ReadOptions{NoJudge: true}}, {"with google/fhir as judge", ReadOptions{}}} {
		b.Run(o.name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, l := Read(in, o.ReadOptions); l != nil {
					b.Fatal(l)
				}
			}
		})
	}
}

// BenchmarkGoogleMarshal writes the same Bundle with google/fhir, for comparison with AppendJSON.
func BenchmarkGoogleMarshal(b *testing.B) {
	in := sampleJSON(b)
	u, err := jsonformat.NewUnmarshaller("UTC", fhirversion.R4)
	if err != nil {
		b.Fatal(err)
	}
	msg, err := u.Unmarshal(in)
	if err != nil {
		b.Fatal(err)
	}
	w, err := jsonformat.NewMarshaller(false, "", "", fhirversion.R4)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Marshal(msg); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStreamPhoto writes a Binary of 3 MB.
func BenchmarkStreamPhoto(b *testing.B) {
	e, err := NewTree().NewResource("Binary")
	if err != nil {
		b.Fatal(err)
	}
	m := &maker{}
	m.set(e, "contentType", "image/jpeg")
	m.note(e.SetData("data", zeros(3<<20)))
	if m.err != nil {
		b.Fatal(m.err)
	}
	b.SetBytes(3 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if err := WriteJSON(io.Discard, e); err != nil {
			b.Fatal(err)
		}
	}
}
