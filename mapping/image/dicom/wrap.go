package dicom

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// SOP classes that are written (PS3.4 annex B).
const (
	Photographic  = "1.2.840.10008.5.1.4.1.1.77.1.4"               // VL Photographic Image Storage
	Dermoscopic   = "1.2.840.10008.5.1.4.1.1.77.1.7"               // Dermoscopic Photography Image Storage
	writer        = "2.25.271828182845904523536028747135266249775" // our implementation class, of no registry (PS3.5 annex B.2)
	writerVersion = "DERMGATE"
)

// Wrapping is what a photo is filed under. Times are local, with their offset.
type Wrapping struct {
	Dermoscopic             bool
	PatientID, Issuer       string // the NHS number, and the authority that gives it
	Family, Given           string
	BirthDate, Sex          string // "19680412"; M, F, O
	Accession               string // the number of the request, 16 characters at most
	Referrer                string // family name
	Captured                time.Time
	Region                  Code
	Laterality              string // L, R, U, B
	Study, Series, Instance string // UIDs (UID makes one)
	Number                  int    // of the photo in its series, from 1
	Width, Height, Samples  int    // of the JPEG
	ICC                     []byte
	Reduced                 bool // the photo was made smaller or compressed once more
}

// UID makes a unique identifier of a UUID (PS3.5 annex B.2).
func UID(uuid [16]byte) string {
	var n [40]byte
	i := len(n)
	for b := slices.Clone(uuid[:]); ; {
		rest, zero := 0, true
		for k, v := range b {
			rest = rest<<8 | int(v)
			b[k] = byte(rest / 10)
			rest %= 10
			zero = zero && b[k] == 0
		}
		i--
		n[i] = byte('0' + rest)
		if zero {
			return "2.25." + string(n[i:])
		}
	}
}

// Wrap writes a JPEG (baseline, 8 bits, its own bytes unchanged) as a DICOM file. The error is an *issue.Issue that
// names what is missing or does not fit; nothing is cut.
func Wrap(jpeg []byte, w Wrapping) ([]byte, error) {
	if err := w.check(jpeg); err != nil {
		return nil, err
	}
	class, kind := Photographic, "XC"
	if w.Dermoscopic {
		class, kind = Dermoscopic, "DMS"
	}
	var meta, body elements
	meta.bytes(0x00020001, "OB", []byte{0, 1})
	meta.text(mediaClass, "UI", class)
	meta.text(mediaInstance, "UI", w.Instance)
	meta.text(transferSyntax, "UI", jpegBaseline)
	meta.text(implementationClass, "UI", writer)
	meta.text(0x00020013, "SH", writerVersion)

	body.text(characterSet, "CS", "ISO_IR 192")
	body.text(0x00080008, "CS", `ORIGINAL\PRIMARY`)
	if w.Reduced {
		body.replace(0x00080008, `DERIVED\PRIMARY`)
	}
	body.text(sopClass, "UI", class)
	body.text(sopInstance, "UI", w.Instance)
	day, clock := w.Captured.Format("20060102"), w.Captured.Format("150405")
	body.text(studyDate, "DA", day)
	body.text(contentDate, "DA", day)
	body.text(acquisition, "DT", w.Captured.Format("20060102150405.000000-0700"))
	body.text(studyTime, "TM", clock)
	body.text(contentTime, "TM", clock)
	body.text(accession, "SH", w.Accession)
	body.text(modality, "CS", kind)
	body.text(manufacturer, "LO", "")
	if w.Dermoscopic {
		body.dermoscopy(w)
	}
	body.text(referrer, "PN", person(w.Referrer, ""))
	body.text(zoneOffset, "SH", w.Captured.Format("-0700"))
	if w.Region.Value != "" {
		body.code(anatomicRegion, w.Region)
	}
	body.text(patientName, "PN", person(w.Family, w.Given))
	body.text(patientID, "LO", w.PatientID)
	body.text(idIssuer, "LO", w.Issuer)
	body.text(birthDate, "DA", w.BirthDate)
	body.text(patientSex, "CS", w.Sex)
	body.text(studyInstance, "UI", w.Study)
	body.text(seriesInstance, "UI", w.Series)
	body.text(studyID, "SH", "")
	body.text(seriesNumber, "IS", "1")
	body.text(instanceNumber, "IS", fmt.Sprint(w.Number))
	body.text(orientation, "CS", "")
	if w.Laterality != "" {
		body.text(imageLaterality, "CS", w.Laterality)
	}
	body.picture(w)
	body.bytes(acquisitionContext, "SQ", nil)

	var out bytes.Buffer
	out.Write(make([]byte, 128))
	out.WriteString("DICM")
	head := meta.append(nil)
	out.Write(binary.LittleEndian.AppendUint32([]byte{2, 0, 0, 0, 'U', 'L', 4, 0}, uint32(len(head))))
	out.Write(head)
	out.Write(body.append(nil))
	out.Write(encapsulated(jpeg))
	return out.Bytes(), nil
}

// person gives a name in the form of PS3.5 §6.2.1, or none.
func person(family, given string) string {
	if family+given == "" {
		return ""
	}
	return family + "^" + given
}

// dermoscopy writes what a dermoscopic photo must say of its device (PS3.3 §A.32.11). Which device it was does not travel with a
// photo, and what nobody has said is empty, or "unknown" where an empty value is not allowed.
func (e *elements) dermoscopy(w Wrapping) {
	space := sha256.Sum256([]byte(w.Series))
	e.replace(manufacturer, "unknown")
	e.text(model, "LO", "unknown")
	e.text(deviceSerial, "LO", "unknown")
	e.text(software, "LO", "unknown")
	e.text(lightPolarisation, "CS", "")
	e.text(colourTemperature, "DS", "")
	e.text(contactMethod, "CS", "")
	e.text(magnification, "DS", "")
	e.text(frameOfReference, "UI", UID([16]byte(space[:])))
	e.text(positionReference, "LO", "")
	e.text(recognisable, "CS", "YES") // nobody has looked, so it may
}

// picture writes how the pixels are to be read.
func (e *elements) picture(w Wrapping) {
	colour := "YBR_FULL_422"
	if w.Samples == 1 {
		colour = "MONOCHROME2"
	}
	e.short(samplesPerPixel, w.Samples)
	e.text(photometric, "CS", colour)
	if w.Samples == 3 {
		e.short(planar, 0)
	}
	e.short(rows, w.Height)
	e.short(columns, w.Width)
	e.short(bitsAllocated, 8)
	e.short(bitsStored, 8)
	e.short(highBit, 7)
	e.short(pixelRepresentation, 0)
	e.text(burnedIn, "CS", "NO")
	if len(w.ICC) > 0 {
		e.bytes(iccProfile, "OB", w.ICC)
	}
	e.text(lossy, "CS", "01")
	e.text(lossyMethod, "CS", "ISO_10918_1")
}

// check names what a photo cannot be filed without, and what would not fit.
func (w Wrapping) check(jpeg []byte) error {
	for _, need := range [][2]string{{"patient id", w.PatientID}, {"study", w.Study}, {"series", w.Series}, {"instance", w.Instance}} {
		if need[1] == "" {
			return issue.New(issue.Required, need[0], "DICOM: a photo is not filed without one")
		}
	}
	for _, fits := range []struct {
		name, value string
		most        int
	}{{"accession number", w.Accession, 16}, {"patient id", w.PatientID, 64}, {"issuer", w.Issuer, 64}, {"family name", w.Family, 64},
		{"given name", w.Given, 64}, {"referrer", w.Referrer, 64}, {"region code", w.Region.Value, 16}, {"region", w.Region.Meaning, 64}} {
		if len([]rune(fits.value)) > fits.most || strings.ContainsAny(fits.value, "\\\x00\r\n") {
			return issue.New(issue.TooLong, fits.name, fmt.Sprintf("DICOM: more than %d characters, or one that DICOM keeps for itself", fits.most))
		}
	}
	if len(jpeg) < 4 || jpeg[0] != 0xff || jpeg[1] != 0xd8 || w.Samples != 1 && w.Samples != 3 || w.Width < 1 || w.Height < 1 || w.Width > 0xffff || w.Height > 0xffff {
		return issue.New(issue.UnsupportedType, "", "DICOM: wants a JPEG in grey or three colours")
	}
	if w.Captured.IsZero() {
		return issue.New(issue.Required, "captured", "DICOM: a photo is not filed without its time")
	}
	return nil
}

// encapsulated writes the pixels as one fragment after an empty table of offsets (PS3.5 §A.4).
func encapsulated(jpeg []byte) []byte {
	out := []byte{0xe0, 0x7f, 0x10, 0x00, 'O', 'B', 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0x00, 0xe0}
	even := len(jpeg) + len(jpeg)%2
	out = binary.LittleEndian.AppendUint32(out, uint32(even))
	out = append(append(out, jpeg...), make([]byte, even-len(jpeg))...)
	return append(out, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0)
}

// elements are written in the order of their tags.
type elements struct{ list []element }

func (e *elements) bytes(t tag, vr string, value []byte) {
	e.list = append(e.list, element{tag: t, vr: vr, value: value})
}

func (e *elements) text(t tag, vr, value string) { e.bytes(t, vr, []byte(value)) }

func (e *elements) short(t tag, n int) {
	e.bytes(t, "US", binary.LittleEndian.AppendUint16(nil, uint16(n)))
}

func (e *elements) replace(t tag, value string) {
	i := slices.IndexFunc(e.list, func(x element) bool { return x.tag == t })
	e.list[i].value = []byte(value)
}

// code writes a sequence of one coded value.
func (e *elements) code(t tag, c Code) {
	var inner elements
	inner.text(codeValue, "SH", c.Value)
	inner.text(codeScheme, "SH", c.Scheme)
	inner.text(codeMeaning, "LO", c.Meaning)
	body := inner.append(nil)
	one := binary.LittleEndian.AppendUint32([]byte{0xfe, 0xff, 0x00, 0xe0}, uint32(len(body)))
	e.bytes(t, "SQ", append(one, body...))
}

// append writes the elements with explicit value representations, each padded to an even length.
func (e *elements) append(out []byte) []byte {
	slices.SortStableFunc(e.list, func(a, b element) int { return int(int64(a.tag) - int64(b.tag)) })
	for _, x := range e.list {
		value := x.value
		if len(value)%2 == 1 {
			pad := byte(' ')
			if x.vr == "UI" || x.vr == "OB" {
				pad = 0
			}
			value = append(slices.Clone(value), pad)
		}
		out = binary.LittleEndian.AppendUint16(out, uint16(x.tag>>16))
		out = binary.LittleEndian.AppendUint16(out, uint16(x.tag))
		out = append(out, x.vr...)
		if long(x.vr) {
			out = append(out, 0, 0)
			out = binary.LittleEndian.AppendUint32(out, uint32(len(value)))
		} else {
			out = binary.LittleEndian.AppendUint16(out, uint16(len(value)))
		}
		out = append(out, value...)
	}
	return out
}
