package hl7

import (
	"bytes"
	"testing"

	lenaten "github.com/lenaten/hl7"
)

// adt is a small ADT^A28 of a made-up patient.
const adt = "MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20260105101500||ADT^A28^ADT_A05|ADT00001|P|2.4|||AL|NE\r" +
	"EVN|A28|20260105101500\r" +
	"PID|1||9990548609^^^NHS^NH~LOC123^^^EMIS^PI||TESTPATIENT^ALICE^MARY^^MS||19700101|2|||1 EXAMPLE STREET^^LEEDS^^LS1 1AA^GBR^H||01130000000^PRN^PH||||||||A\r" +
	"PD1|||EXAMPLE SURGERY^^Y06601|G9999999^EXAMPLE^GP^^^DR^^^GMP\r" +
	"NK1|1|TESTPATIENT^BOB|SPO^SPOUSE|1 EXAMPLE STREET^^LEEDS\r" +
	"PV1|1|O|DERM^^^RXX01||||G9999999^EXAMPLE^GP\r"

// reads are ten places as a map reads them.
var reads = []string{"MSH-9.1", "MSH-10", "PID-3.1", "PID-3[2].1", "PID-5.1", "PID-5.2", "PID-7", "PID-8", "PID-11.5", "PD1-3.3"}

// photoMessage is an ORU with one OBX of size bytes of base64.
func photoMessage(size int) []byte {
	b := []byte("MSH|^~\\&|A|B|C|D|20260105||ORU^R01|1|P|2.4\rPID|1||9990548609\rOBR|1\rOBX|1|ED|PHOTO||^IM^JPEG^Base64^")
	return append(append(b, bytes.Repeat([]byte("ABCD"), size/4)...), "||||||F\r"...)
}

// BenchmarkSmallADT parses a small ADT and reads ten places.
func BenchmarkSmallADT(b *testing.B) {
	input := []byte(adt)
	b.Run("dermgate", func(b *testing.B) {
		paths := make([]Path, len(reads))
		for i, r := range reads {
			paths[i] = MustPath(r)
		}
		m, buf := new(Message), make([]byte, 0, 256)
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Reset(input); err != nil {
				b.Fatal(err)
			}
			for _, p := range paths {
				buf = m.Get(p).AppendText(buf[:0])
			}
		}
	})
	b.Run("lenaten", func(b *testing.B) {
		places := []string{"MSH.9.0", "MSH.10", "PID.3.0", "PID.3.0", "PID.5.0", "PID.5.1", "PID.7", "PID.8", "PID.11.4", "PD1.3.2"}
		b.ReportAllocs()
		for b.Loop() {
			m, err := lenaten.NewDecoder(bytes.NewReader(input)).Messages()
			if err != nil {
				b.Fatal(err)
			}
			for _, p := range places {
				if v, err := m[0].Find(p); err != nil || v == "" {
					b.Fatal(p, err)
				}
			}
		}
	})
}

// BenchmarkPhotoOBX parses a message with 3 MB of base64 in an OBX and finds the payload. lenaten/hl7 reads
// at most 100 KiB from a stream, so it gets the bytes at once.
func BenchmarkPhotoOBX(b *testing.B) {
	input := photoMessage(3 << 20)
	b.Run("dermgate", func(b *testing.B) {
		payload := MustPath("OBX-5.5")
		m := new(Message)
		b.SetBytes(int64(len(input)))
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Reset(input); err != nil {
				b.Fatal(err)
			}
			if v := m.Get(payload); len(v.Raw()) != 3<<20 {
				b.Fatal("payload not found")
			}
		}
	})
	b.Run("lenaten", func(b *testing.B) {
		msg := lenaten.NewMessage(input)
		b.SetBytes(int64(len(input)))
		b.ReportAllocs()
		for b.Loop() {
			msg.Segments = nil
			if err := msg.Parse(); err != nil {
				b.Fatal(err)
			}
			if v, err := msg.Find("OBX.5.4"); err != nil || len(v) == 0 {
				b.Fatal("payload not found")
			}
		}
	})
}

// BenchmarkValidate holds a small ADT against every rule; it has no finding.
func BenchmarkValidate(b *testing.B) {
	m, err := Parse([]byte(adt))
	if err != nil {
		b.Fatal(err)
	}
	p := everything
	if l := m.Validate(&p); len(l) != 0 {
		b.Fatal(l)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Validate(&p)
	}
}
