package image

import (
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

func TestWhatAFileIsByItsBytes(t *testing.T) {
	tiffPreamble := append([]byte("II*\x00\x08\x00\x00\x00"), make([]byte, 120)...)
	for _, c := range []struct {
		want Type
		b    string
	}{
		{JPEG, "\xff\xd8\xff\xe0"}, {PNG, "\x89PNG\r\n\x1a\n"}, {GIF, "GIF89a\x10\x00"}, {TIFF, "II*\x00\x08\x00\x00\x00"}, {TIFF, "MM\x00*\x00\x00\x00\x08"},
		{WebP, "RIFF\x00\x00\x00\x00WEBPVP8 "}, {Unknown, "RIFF\x00\x00\x00\x00WAVEfmt "},
		{HEIC, "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"}, {HEIC, "\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic"},
		{AVIF, "\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf"}, {Video, "\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  "},
		{JPEG2000, "\x00\x00\x00\x0cjP  \r\n\x87\n"}, {JPEGXL, "\xff\x0a\xff\x07"},
		{BMP, "BM\x00\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00" + strings.Repeat("\x01", 20)}, {Text, "BMI 24, no allergies"},
		{DICOM, string(make([]byte, 128)) + "DICM"}, {DICOM, string(tiffPreamble) + "DICM"},
		{PDF, "%PDF-1.4"}, {PDF, "\ufeff%PDF-1.4"}, {RTF, `{\rtf1 hello}`}, {ZIP, "PK\x03\x04aaaa"}, {DOCX, "PK\x03\x04....[Content_Types].xml....word/document.xml"},
		{Word, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....W\x00o\x00r\x00d\x00D\x00o\x00c\x00u\x00m\x00e\x00n\x00t\x00"}, {Unknown, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 a spreadsheet"},
		{HTML, "<!DOCTYPE html><html>"}, {HTML, "<html><!--\xff\xd8\xff\x00\x01-->"}, {HTML, "Dear colleague <SCRIPT>alert(1)"}, {SVG, `<?xml version="1.0"?><svg xmlns="x">`}, {XML, "<?xml version='1.0'?><a/>"},
		{Text, "Dear colleague"}, {Text, "\ufeffDear colleague"}, {Text, "na\xefve m\xf6le"}, {Text, strings.Repeat("a", textWindow-1) + "é"}, {Text, strings.Repeat("é", 600)},
		{Unknown, ""}, {Unknown, "\x00\x01\x02"}, {Unknown, "\xe9\xe9\xe9\xe9"},
	} {
		if got := Sniff([]byte(c.b)); got != c.want {
			t.Errorf("%.40q: %s, want %s", c.b, got, c.want)
		}
		if got, err := SniffFile(strings.NewReader(c.b)); got != c.want || err != nil {
			t.Errorf("%.40q as a file: %s, %v, want %s", c.b, got, err, c.want)
		}
	}
}

func TestEveryTypeIsDescribed(t *testing.T) {
	for i, row := range types {
		if row.name == "" || row.media == "" || row.ext == "" {
			t.Errorf("type %d: %+v", i, row)
		}
	}
}

func TestCheckHoldsTheBytesAgainstTheDeclaredType(t *testing.T) {
	photo := string(aJPEG(t, 64, 48))
	for _, c := range []struct {
		name, b, declared string
		kind              issue.Kind // "" when there is no issue
		severity          issue.Severity
	}{
		{"a JPEG called JPEG", photo, "image/jpeg", "", 0},
		{"a JPEG by another name", photo, "Image/JPG; name=x", "", 0},
		{"a JPEG of no stated type", photo, "", "", 0},
		{"a JPEG as bytes", photo, "application/octet-stream", "", 0},
		{"a JPEG called PNG", photo, "image/png", issue.Value, issue.Warning},
		{"a JPEG called PDF", photo, "application/pdf", issue.Value, issue.Warning},
		{"a PDF called JPEG", "%PDF-1.4", "image/jpeg", issue.Value, issue.Error},
		{"words called JPEG", "This is a Base64 string", "image/jpeg", issue.Value, issue.Error},
		{"noise called JPEG", "\x00\x01\x02\x03", "image/jpeg", issue.UnsupportedType, issue.Error},
		{"half a JPEG", photo[:500], "image/jpeg", issue.Structure, issue.Error},
		{"nothing", "", "image/jpeg", issue.Required, issue.Error},
		{"an SVG", "<svg/>", "", issue.UnsupportedType, issue.Error},
		{"an SVG called one", "<svg/>", "image/svg+xml", issue.Value, issue.Error},
		{"a page", "<html>", "text/html", issue.UnsupportedType, issue.Error},
		{"an archive", "PK\x03\x04", "application/zip", issue.UnsupportedType, issue.Error},
		{"JPEG XL", "\xff\x0a\x00", "image/jxl", issue.UnsupportedType, issue.Error},
		{"a letter", "Dear colleague", "text/plain; charset=utf-8", "", 0},
		{"a CDA document", "<ClinicalDocument/>", "application/hl7-sda+xml", "", 0},
		{"RTF by its other name", `{\rtf1}`, "application/rtf", "", 0},
	} {
		_, l := check(t, []byte(c.b), c.declared)
		switch {
		case c.kind == "" && len(l) > 0, c.kind != "" && (len(l) != 1 || l[0].Kind != c.kind || l[0].Severity != c.severity):
			t.Errorf("%s: %v", c.name, l)
		}
	}
}

func TestFileNames(t *testing.T) {
	for _, c := range []struct {
		lesion, view string
		t            Type
		want         string
	}{
		{"L1", "overview", JPEG, "L1-overview-1.jpg"}, {"12", "close-up", PNG, "12-closeup-1.png"}, {"L2", "dermoscopic", JPEG, "L2-dermoscopic-1.jpg"},
		{"", "", JPEG, "L-photo-1.jpg"}, {"", "", PDF, "L-document-1.pdf"},
	} {
		if got := FileName(c.lesion, c.view, 1, c.t); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// Lesion and view are a sender's words: neither a name nor a number nor a path may get into a file name.
func TestFileNamesHoldNothingOfThePatient(t *testing.T) {
	seen := map[string]bool{}
	for _, words := range []string{"Rosalind", "9990548609", "../../etc/passwd", "L1\r\n", "mole on back"} {
		for _, name := range []string{FileName(words, "overview", 1, JPEG), FileName("L1", words, 1, JPEG)} {
			if seen[name] || strings.Contains(name, words) || strings.ContainsAny(name, "/\\ \r\n") || len(name) > 30 {
				t.Errorf("%q", name)
			}
			seen[name] = true
		}
	}
}
