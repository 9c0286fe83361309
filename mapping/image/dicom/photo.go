package dicom

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Code is a coded value as DICOM writes one.
type Code struct {
	Value   string `json:"value,omitempty"`
	Scheme  string `json:"scheme,omitempty"` // SCT, SRT, DCM
	Meaning string `json:"meaning,omitempty"`
}

// Photo is what a DICOM file says of its picture, and the picture: either a JPEG as it stands or rows of samples of 8
// bits. Of the patient it holds what tells whose photo it is; that goes no further than the comparison.
type Photo struct {
	Class         string     `json:"class"`  // SOP Class UID
	Syntax        string     `json:"syntax"` // Transfer Syntax UID
	Width, Height int        // pixels
	Samples       int        // a pixel: 1 grey, 3 red, green and blue
	JPEG          []byte     // nil: Pixels
	Pixels        []byte     // Width*Height*Samples, row by row
	ICC           []byte     // the colour profile; nil for none
	Spacing       [2]float64 // millimetres from row to row and from column to column, on what was photographed; 0: not said
	Captured      string     // "20261124100500.000000+0000" as written, "" when it is not said
	Zone          string     // "+0000" where Captured has none
	Modality      string     // XC, DMS
	Region        Code       // where on the body
	Laterality    string     // L, R, U, B
	BurnedIn      string     // Burned In Annotation: whether the picture itself shows who the patient is: YES, NO, "" when it is not said
	PatientID     string
	Issuer        string
}

// Remarks warn of a picture that shows who the patient is, which no stripping of metadata takes out, or may (PS3.3
// §C.7.6.1.1.1: a file that does not say may as well).
func (p *Photo) Remarks() issue.List {
	switch p.BurnedIn {
	case "NO":
		return nil
	case "YES":
		return issue.List{issue.Warn(issue.Value, "", "a DICOM photo that says it has the patient's data burned into its picture: they travel with it")}
	}
	return issue.List{issue.Warn(issue.Value, "", "a DICOM photo that does not say whether the patient's data are burned into its picture (0028,0301)")}
}

// Transfer syntaxes that are told apart (PS3.6 annex A).
const (
	implicitLittle = "1.2.840.10008.1.2"
	explicitLittle = "1.2.840.10008.1.2.1"
	explicitBig    = "1.2.840.10008.1.2.2"
	jpegBaseline   = "1.2.840.10008.1.2.4.50"
	jpegExtended   = "1.2.840.10008.1.2.4.51"
	runLength      = "1.2.840.10008.1.2.5"
)

// unread are the transfer syntaxes that are known and not read, by what a person calls them.
var unread = map[string]string{
	"1.2.840.10008.1.2.1.99":  "a deflated dataset",
	"1.2.840.10008.1.2.4.57":  "lossless JPEG",
	"1.2.840.10008.1.2.4.70":  "lossless JPEG",
	"1.2.840.10008.1.2.4.80":  "JPEG-LS",
	"1.2.840.10008.1.2.4.81":  "JPEG-LS",
	"1.2.840.10008.1.2.4.90":  "JPEG 2000",
	"1.2.840.10008.1.2.4.91":  "JPEG 2000",
	"1.2.840.10008.1.2.4.100": "MPEG video",
	"1.2.840.10008.1.2.4.102": "MPEG video",
	"1.2.840.10008.1.2.4.107": "HEVC video",
	"1.2.840.10008.1.2.4.110": "JPEG XL",
	"1.2.840.10008.1.2.4.201": "high-throughput JPEG 2000",
}

func unsupported(format string, args ...any) *issue.Issue {
	return issue.New(issue.UnsupportedType, "", "DICOM: "+fmt.Sprintf(format, args...)+" is not read: send a JPEG")
}

// Read takes the photo out of a DICOM file of at most so many pixels. The error is an *issue.Issue: UnsupportedType for a
// form that is not read, TooLong for too many pixels, Structure for a file that is broken, with the byte.
func Read(b []byte, pixels int64) (*Photo, error) {
	if len(b) < 132 || string(b[128:132]) != "DICM" {
		return nil, issue.New(issue.Structure, "byte 128", "no DICOM file: DICM is missing")
	}
	meta := &reader{b: b, at: 132, s: syntax{order: binary.LittleEndian}}
	uid, err := meta.header()
	if err != nil {
		return nil, err
	}
	body := &reader{b: b, at: meta.at, s: syntax{implicit: uid == implicitLittle, order: binary.LittleEndian}}
	switch name := unread[uid]; {
	case name != "":
		return nil, unsupported("%s", name)
	case uid == explicitBig:
		body.s.order = binary.BigEndian
	case uid != implicitLittle && uid != explicitLittle && uid != jpegBaseline && uid != jpegExtended && uid != runLength:
		return nil, unsupported("transfer syntax %.64s", strconv.QuoteToASCII(uid))
	}
	body.s.implicit = body.s.implicit || !body.spelled()
	d, err := body.read()
	if err != nil {
		return nil, err
	}
	p := d.describe(body.s)
	p.Syntax = uid
	return p, d.picture(p, body, pixels)
}

// spelled tells whether the first element spells out its value representation: some writers leave it out although the
// transfer syntax says otherwise.
func (r *reader) spelled() bool {
	if len(r.b)-r.at < 8 {
		return true
	}
	vr := r.b[r.at+4 : r.at+6]
	return vr[0] >= 'A' && vr[0] <= 'Z' && vr[1] >= 'A' && vr[1] <= 'Z'
}

// header reads group 2, which says how the rest is written.
func (r *reader) header() (string, error) {
	uid := ""
	for len(r.b)-r.at >= 8 && r.s.order.Uint16(r.b[r.at:]) == 2 {
		e, err := r.next()
		if err != nil {
			return "", err
		}
		if e.open {
			return "", broken(e.at, "%v has no length", e.tag)
		}
		if e.tag == transferSyntax {
			uid = string(bytes.TrimRight(e.value, "\x00 "))
		}
	}
	if uid == "" {
		return "", broken(132, "no transfer syntax %v", transferSyntax)
	}
	return uid, nil
}

// describe takes what is said of the picture.
func (d dataset) describe(s syntax) *Photo {
	p := &Photo{Class: d.text(sopClass), Modality: d.text(modality), Zone: d.text(zoneOffset), BurnedIn: d.text(burnedIn),
		PatientID: d.text(patientID), Issuer: d.text(idIssuer), Laterality: d.text(imageLaterality), Captured: d.text(acquisition)}
	if p.Laterality == "" {
		p.Laterality = d.text(seriesLaterality)
	}
	if date := d.text(contentDate); p.Captured == "" && date != "" {
		p.Captured = date + d.text(contentTime)
	}
	if region := d.first(s, anatomicRegion); region != nil {
		p.Region = Code{region.text(codeValue), region.text(codeScheme), region.text(codeMeaning)}
	}
	p.Spacing = spacing(d.text(pixelSpacing))
	if icc := d[iccProfile]; len(icc.value) > 0 {
		p.ICC = icc.value
	}
	return p
}

// spacing reads Pixel Spacing (PS3.3 §10.7.1.3).
func spacing(text string) (mm [2]float64) {
	down, across, _ := strings.Cut(text, `\`)
	for i, s := range []string{down, across} {
		v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil || !(v > 1e-6 && v < 1e3) {
			return [2]float64{}
		}
		mm[i] = v
	}
	return mm
}

// picture takes the pixels.
func (d dataset) picture(p *Photo, r *reader, most int64) error {
	pixels, ok := d[pixelData]
	if !ok {
		return issue.New(issue.Required, "", "DICOM: no picture in it")
	}
	p.Height, p.Width = d.number(r.s, rows, 0), d.number(r.s, columns, 0)
	p.Samples = d.number(r.s, samplesPerPixel, 1)
	n := int64(p.Width) * int64(p.Height)
	colour := d.text(photometric)
	switch {
	case n == 0:
		return broken(pixels.at, "a picture without width or height")
	case n > most:
		return issue.New(issue.TooLong, "", fmt.Sprintf("more than the %d pixels that a photo may have", most))
	case d.text(frames) != "" && d.text(frames) != "1":
		return unsupported("a picture of several frames")
	case d.number(r.s, bitsAllocated, 8) != 8:
		return unsupported("a picture of more than 8 bits a sample")
	case p.Samples != 1 && p.Samples != 3 || colour == "PALETTE COLOR":
		return unsupported("a picture that is neither grey nor of three colours")
	}
	switch p.Syntax {
	case jpegBaseline, jpegExtended:
		stream, err := r.fragments(pixels)
		if err != nil {
			return err
		}
		p.JPEG, err = marked(bytes.Join(stream, nil), colour)
		return err
	case runLength:
		stream, err := r.fragments(pixels)
		if err != nil {
			return err
		}
		planes, err := unpack(bytes.Join(stream, nil), p.Samples, int(n), pixels.at)
		if err != nil {
			return err
		}
		p.Pixels, err = rgb(planes, colour, p.Samples, int(n), true)
		return err
	}
	if pixels.open || colour == "YBR_FULL_422" || colour == "YBR_PARTIAL_422" {
		return unsupported("a picture in the colours %.16s", strconv.QuoteToASCII(colour))
	}
	if int64(len(pixels.value)) < n*int64(p.Samples) {
		return broken(pixels.at, "fewer pixels than %d times %d", p.Width, p.Height)
	}
	value := pixels.value
	if r.s.order == binary.BigEndian && pixels.vr == "OW" { // words, each of two samples in turn
		value = swapped(value)
	}
	var err error
	p.Pixels, err = rgb(value[:n*int64(p.Samples)], colour, p.Samples, int(n), d.number(r.s, planar, 0) == 1)
	return err
}

// fragments gives the parts of an encapsulated picture, without the table of offsets (PS3.5 §A.4).
func (r *reader) fragments(pixels element) ([][]byte, error) {
	if !pixels.open {
		return nil, broken(pixels.at, "a compressed picture that is not encapsulated")
	}
	r.at = pixels.at
	var out [][]byte
	for {
		e, err := r.next()
		switch {
		case err != nil:
			return nil, err
		case e.tag == sequenceEnd && len(out) > 1:
			return out[1:], nil
		case e.tag != item || e.open:
			return nil, broken(r.at, "%v where a part of the picture should be", e.tag)
		}
		out = append(out, e.value)
	}
}
