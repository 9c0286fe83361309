package letter

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// fontFile is DejaVu Sans Condensed 2.37: Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew, Arabic. Its licence is beside it.
//
//go:embed font/DejaVuSansCondensed.ttf
var fontFile []byte

// Measures of a page, in mm: A4, as letters are printed; sizes of type in points.
const (
	pageWidth, pageHeight = 210.0, 297.0
	margin                = 20.0
	footing               = 12.0 // from the bottom
	width                 = pageWidth - 2*margin
	typeSize, headSize    = 10.0, 11.0
	titleSize             = 15.0
	footSize              = 8.0
	leading               = 4.9 // from line to line
)

// line is one line of the letter as it is drawn.
type line struct {
	text   string
	size   float64
	height float64 // it takes, space above included
	right  bool    // it stands at the right
	rule   bool    // it is underlined from margin to margin
	keep   bool    // it stands on the page of the next line
}

// PDF writes the letter of a request. The error is a fault of our own.
func PDF(b *fhir.Bundle) ([]byte, error) { return write(b, "Referral letter", sections(b, false)) }

func write(b *fhir.Bundle, title string, all []section) ([]byte, error) {
	d := newDrawing(date(b))
	d.pdf.SetTitle(title, true)
	lines := d.lay(title, all)
	pages := paginate(lines)
	p := b.First("Patient")
	who := joined("   ", labelled("NHS number", spaced(fhir.IdentifierIn(p, fhir.SystemNHSNumber))), name(p.Child("name")))
	for i, page := range pages {
		d.pdf.AddPage()
		y := margin
		for _, l := range page {
			y += l.height
			d.draw(l, y)
		}
		d.foot(who, fmt.Sprintf("Page %d of %d", i+1, len(pages)))
	}
	var out bytes.Buffer
	if err := d.pdf.Output(&out); err != nil {
		return nil, fmt.Errorf("letter: %w", err)
	}
	return out.Bytes(), nil
}

// drawing is a PDF being drawn. Whatever the library would take from the clock or in the order of a map is fixed.
type drawing struct{ pdf *fpdf.Fpdf }

func newDrawing(at time.Time) drawing {
	pdf := fpdf.New("P", "mm", "A4", "")
	pdf.SetCatalogSort(true)
	pdf.SetCreationDate(at)
	pdf.SetModificationDate(at)
	pdf.SetProducer("Dermgate", true)
	pdf.SetLang("en-GB")
	pdf.SetMargins(margin, margin, margin)
	pdf.SetAutoPageBreak(false, 0)
	pdf.AddUTF8FontFromBytes("letter", "", fontFile)
	pdf.SetFont("letter", "", typeSize)
	return drawing{pdf}
}

// date is that of the request; the beginning of 1970 where it says none. It never is today's.
func date(b *fhir.Bundle) time.Time {
	text := b.First("ServiceRequest").Child("authoredOn").Text()
	if text == "" {
		text = b.Root.Child("timestamp").Text()
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly, "2006-01", "2006"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Unix(0, 0).UTC()
}

// spaced writes an NHS number as people read it: 999 000 1022.
func spaced(number string) string {
	if len(number) != 10 {
		return number
	}
	return number[:3] + " " + number[3:6] + " " + number[6:]
}

// lay makes the lines of the whole letter.
func (d drawing) lay(title string, all []section) []line {
	out := []line{{text: title, size: titleSize, height: 7}}
	for _, s := range all {
		out = append(out, line{text: s.heading, size: headSize, height: leading + 5, rule: true, keep: true}, line{height: 1.5, size: typeSize, keep: true})
		for _, paragraph := range s.lines {
			out = append(out, d.paragraph(paragraph)...)
		}
	}
	return out
}

// paragraph breaks a text into lines: at its own line ends, and where a word would not fit.
func (d drawing) paragraph(text string) (out []line) {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\v", "\n", "\f", "\n", "\u0085", "\n").Replace(text)
	for _, l := range strings.Split(strings.TrimRight(text, "\n "), "\n") {
		for _, row := range d.wrap(printable(l), typeSize) {
			seen, right := visual(shaped(row))
			out = append(out, line{text: seen, size: typeSize, height: leading, right: right})
		}
	}
	return out
}

// wrap breaks a line into those that fit, at spaces where there are some.
func (d drawing) wrap(s string, size float64) (rows []string) {
	row := ""
	for _, word := range strings.SplitAfter(s, " ") {
		for d.wide(row+word, size) > width {
			if strings.TrimSpace(row) != "" && d.wide(word, size) <= width {
				rows, row = append(rows, strings.TrimRight(row, " ")), ""
				continue
			}
			n := d.fitting(row, word, size)
			rows, row, word = append(rows, row+word[:n]), "", word[n:]
		}
		row += word
	}
	return append(rows, strings.TrimRight(row, " "))
}

// fitting gives how many bytes of a word that is longer than a line fit behind a row: one character at least where the row is empty.
func (d drawing) fitting(row, word string, size float64) int {
	n := 0
	for i, r := range word {
		end := i + len(string(r))
		if d.wide(row+word[:end], size) > width && (n > 0 || row != "") {
			break
		}
		n = end
	}
	return n
}

func (d drawing) wide(s string, size float64) float64 {
	d.pdf.SetFontSize(size)
	return d.pdf.GetStringWidth(shaped(strings.TrimRight(s, " ")))
}

// paginate fills pages; a heading stands with what it is over.
func paginate(lines []line) (pages [][]line) {
	const room = pageHeight - margin - footing - 8 - margin + 6
	var page []line
	used := 0.0
	for i, l := range lines {
		needs := l.height
		for j := i; j < len(lines)-1 && lines[j].keep; j++ {
			needs += lines[j+1].height
		}
		if used+needs > room && len(page) > 0 {
			pages, page, used = append(pages, page), nil, 0
		}
		page, used = append(page, l), used+l.height
	}
	return append(pages, page)
}

func (d drawing) draw(l line, y float64) {
	d.pdf.SetFontSize(l.size)
	x := margin
	if l.right {
		x = margin + width - d.pdf.GetStringWidth(l.text)
	}
	if l.text != "" {
		d.pdf.Text(x, y, l.text)
	}
	if l.rule {
		d.pdf.SetLineWidth(0.2)
		d.pdf.Line(margin, y+1.3, margin+width, y+1.3)
	}
}

// foot says on each page whose it is. A name too long for it goes over more lines.
func (d drawing) foot(who, page string) {
	y := pageHeight - footing
	d.pdf.SetFontSize(footSize)
	d.pdf.Text(margin+width-d.pdf.GetStringWidth(page), y, page)
	const room = width - 30
	d.pdf.SetFontSize(footSize)
	text := printable(strings.Join(strings.Fields(who), " "))
	for text != "" && y < pageHeight-2 {
		n := 0
		for i, r := range text {
			if d.wide(text[:i+len(string(r))], footSize) > room && n > 0 {
				break
			}
			n = i + len(string(r))
		}
		seen, _ := visual(shaped(text[:n]))
		d.pdf.Text(margin, y, seen)
		text, y = text[n:], y+3.2
	}
}
