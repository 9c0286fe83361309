package image

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// Type of a file, by its content.
type Type uint8

// The types that are told apart; Taken says which of them may travel.
const (
	Unknown Type = iota
	JPEG
	PNG
	GIF
	TIFF
	WebP
	HEIC
	AVIF
	BMP
	JPEG2000
	JPEGXL
	DICOM
	PDF
	RTF
	Word // the binary format before 2007
	DOCX
	ZIP
	Video // MP4, QuickTime
	SVG
	HTML
	XML
	Text
)

// types tells of each type what it is called, its media type (IANA), its usual extension, whether it is a
// picture, and why it is not taken ("" when it is).
var types = [...]struct {
	name, media, ext string
	photo            bool
	refused          string
}{
	Unknown:  {"unknown", "application/octet-stream", "bin", false, "a file of no known type"},
	JPEG:     {"JPEG", "image/jpeg", "jpg", true, ""},
	PNG:      {"PNG", "image/png", "png", true, ""},
	GIF:      {"GIF", "image/gif", "gif", true, ""},
	TIFF:     {"TIFF", "image/tiff", "tif", true, ""},
	WebP:     {"WebP", "image/webp", "webp", true, ""},
	HEIC:     {"HEIC", "image/heic", "heic", true, ""},
	AVIF:     {"AVIF", "image/avif", "avif", true, ""},
	BMP:      {"BMP", "image/bmp", "bmp", true, ""},
	JPEG2000: {"JPEG 2000", "image/jp2", "jp2", true, "JPEG 2000 is not taken: send a JPEG or PNG"},
	JPEGXL:   {"JPEG XL", "image/jxl", "jxl", true, "JPEG XL is not taken: send a JPEG or PNG"},
	DICOM:    {"DICOM", "application/dicom", "dcm", true, ""},
	PDF:      {"PDF", "application/pdf", "pdf", false, ""},
	RTF:      {"RTF", "text/rtf", "rtf", false, ""},
	Word:     {"Word", "application/msword", "doc", false, ""},
	DOCX:     {"DOCX", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", false, ""},
	ZIP:      {"ZIP", "application/zip", "zip", false, "ZIP archives are not taken: send the files themselves"},
	Video:    {"video", "video/mp4", "mp4", false, "video is not taken"},
	SVG:      {"SVG", "image/svg+xml", "svg", false, "SVG can hold scripts and is not taken"},
	HTML:     {"HTML", "text/html", "html", false, "HTML can hold scripts and is not taken"},
	XML:      {"XML", "text/xml", "xml", false, ""},
	Text:     {"text", "text/plain", "txt", false, ""},
}

// String names the type for a person.
func (t Type) String() string { return types[t].name }

// MediaType by IANA.
func (t Type) MediaType() string { return types[t].media }

// Ext is the usual file name extension, without a dot.
func (t Type) Ext() string { return types[t].ext }

// TypeNamed gives the type of a media type, image/jpeg, or of a file name's extension, jpg; Unknown when there is none.
func TypeNamed(name string) Type {
	name = strings.ToLower(name)
	if name == "heif" || name == "image/heif" { // how some declare it: the container of HEIC
		return HEIC
	}
	for i, t := range types {
		if Type(i) != Unknown && (name == t.media || name == t.ext || name == strings.ToLower(t.name)) {
			return Type(i)
		}
	}
	return Unknown
}

// Photo tells pictures from documents. SVG is a document that can hold scripts, so it is none.
func (t Type) Photo() bool { return types[t].photo }

// Taken tells the types that may travel; Check refuses the others by name.
func (t Type) Taken() bool { return types[t].refused == "" }

// magic are the first bytes of types that have fixed ones.
var magic = [...]struct {
	at    int // offset in bytes
	bytes string
	t     Type
}{
	{128, "DICM", DICOM}, // first: its preamble may hold a TIFF header (PS3.10 §7.1)
	{0, "\xff\xd8\xff", JPEG},
	{0, "\x89PNG\r\n\x1a\n", PNG},
	{0, "GIF87a", GIF}, {0, "GIF89a", GIF},
	{0, "II*\x00", TIFF}, {0, "MM\x00*", TIFF},
	{0, "\x00\x00\x00\x0cjP  \r\n\x87\n", JPEG2000}, {0, "\xff\x4f\xff\x51", JPEG2000},
	{0, "\x00\x00\x00\x0cJXL \r\n\x87\n", JPEGXL}, {0, "\xff\x0a", JPEGXL},
	{0, "%PDF-", PDF}, {3, "%PDF-", PDF}, // some writers put a byte order mark before it
	{0, "{\\rtf", RTF},
}

// sniffed is how many of the first bytes tell the type of all files but archives and compound documents.
const sniffed = 8 << 10

// Sniff tells the type by content alone: names and declared types lie, bytes do not. Of a file that is two
// at once it tells the one that a reader of photos or documents would open. The beginning of a file is enough,
// save that a Word document is told from an archive or another compound document by what stands further on.
func Sniff(b []byte) Type {
	return sniff(b, func(word string) bool { return bytes.Contains(b, []byte(word)) })
}

// SniffFile is Sniff of a whole file. The error is a *ReadError.
func SniffFile(f File) (Type, error) {
	w := newWindow(f)
	return w.whole().sniff(), w.err
}

func (s section) sniff() Type { return sniff(s.bytes(0, min(s.n, sniffed)), s.contains) }

// sniff tells the type by the beginning of a file and what it contains as a whole.
func sniff(b []byte, contains func(word string) bool) Type {
	for _, m := range magic {
		if len(b) >= m.at+len(m.bytes) && string(b[m.at:m.at+len(m.bytes)]) == m.bytes {
			return m.t
		}
	}
	switch {
	case isBitmap(b):
		return BMP
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return WebP
	case len(b) >= 12 && string(b[4:8]) == "ftyp":
		return brand(b)
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return sniffZIP(b, contains)
	case bytes.HasPrefix(b, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
		return sniffCompound(contains)
	}
	return sniffText(b)
}

// isBitmap checks a BMP's reserved bytes and header size too: two letters are no proof.
func isBitmap(b []byte) bool {
	if len(b) < bmpHeader || string(b[:2]) != "BM" || string(b[6:10]) != "\x00\x00\x00\x00" {
		return false
	}
	switch binary.LittleEndian.Uint32(b[14:]) {
	case 40, 52, 56, 108, 124:
		return true
	}
	return false
}

// brand reads the brands of an ISO base media file (ISO/IEC 14496-12 §4.3): the major one, then those it is
// compatible with. mif1 and msf1 say "a picture" only, and AVIF says them too.
func brand(b []byte) Type {
	end := min(uint64(binary.BigEndian.Uint32(b)), uint64(len(b)), 256)
	generic := Video
	for i := uint64(8); i+4 <= end; i += 4 {
		switch string(b[i : i+4]) {
		case "heic", "heix", "hevc", "hevx", "heim", "heis", "hevm", "hevs":
			return HEIC
		case "avif", "avis":
			return AVIF
		case "mif1", "msf1":
			generic = HEIC
		}
	}
	return generic
}

// sniffZIP tells a Word document, which names its parts in the first local headers, from any other archive.
func sniffZIP(b []byte, contains func(string) bool) Type {
	if bytes.Contains(b[:min(len(b), sniffed)], []byte("[Content_Types].xml")) && contains("word/document.xml") {
		return DOCX
	}
	return ZIP
}

// sniffCompound tells a Word document from the other users of OLE compound files: spreadsheets, mails,
// installers. A directory entry has its name in UTF-16LE (MS-CFB §2.6.1).
func sniffCompound(contains func(string) bool) Type {
	if contains("W\x00o\x00r\x00d\x00D\x00o\x00c\x00u\x00m\x00e\x00n\x00t\x00") {
		return Word
	}
	return Unknown
}

// textWindow is how many bytes are looked at to tell text from the rest.
const textWindow = 1024

func sniffText(b []byte) Type {
	head := bytes.TrimPrefix(b[:min(len(b), textWindow)], []byte("\ufeff"))
	low := strings.ToLower(strings.TrimSpace(string(head)))
	switch {
	case strings.HasPrefix(low, "<!doctype html"), strings.HasPrefix(low, "<html"), strings.HasPrefix(low, "<script"):
		return HTML // whatever follows: a browser shows it
	case len(head) == 0 || !looksLikeText(head):
		return Unknown
	case strings.Contains(low, "<script"):
		return HTML
	case strings.Contains(low, "<svg"):
		return SVG
	case strings.HasPrefix(low, "<"):
		return XML
	}
	return Text
}

// looksLikeText takes UTF-8 and the one-byte charsets that letters from a GP system come in. Those have no
// control characters but the usual five and are mostly ASCII.
func looksLikeText(b []byte) bool {
	high := 0
	for _, c := range b {
		switch {
		case c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' || c == 0x7f:
			return false
		case c >= utf8.RuneSelf:
			high++
		}
	}
	return high*4 <= len(b) || utf8.Valid(b[:len(b)-cutRune(b)])
}

// cutRune gives how many bytes at the end may be a character that the window cut in two.
func cutRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if utf8.RuneStart(b[len(b)-n]) {
			if utf8.FullRune(b[len(b)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
