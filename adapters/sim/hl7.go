package sim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// hl7 is a message cut at its separators, the plain way: enough for a receiver to read what it needs.
type hl7 struct {
	raw                                     []byte
	segments                                [][]string
	fieldSep, component, repetition, escape string
}

// split7 cuts a message. What has no MSH gives no segments.
func split7(raw []byte) hl7 {
	m := hl7{raw: raw}
	text := strings.ReplaceAll(strings.ReplaceAll(string(raw), "\r\n", "\r"), "\n", "\r")
	if !strings.HasPrefix(text, "MSH") || len(text) < 9 {
		return m
	}
	m.fieldSep, m.component, m.repetition, m.escape = text[3:4], text[4:5], text[5:6], text[6:7]
	for _, s := range strings.Split(text, "\r") {
		if s == "" {
			continue
		}
		fields := strings.Split(s, m.fieldSep)
		if fields[0] == "MSH" { // MSH-1 is the separator itself
			fields = append([]string{"MSH", m.fieldSep}, fields[1:]...)
		}
		m.segments = append(m.segments, fields)
	}
	return m
}

// all gives the segments of a name.
func (m hl7) all(name string) [][]string {
	var out [][]string
	for _, s := range m.segments {
		if s[0] == name {
			out = append(out, s)
		}
	}
	return out
}

// field gives a field of the n-th segment of a name, raw; "" when there is none.
func (m hl7) field(name string, n, field int) string {
	all := m.all(name)
	if n >= len(all) || field >= len(all[n]) {
		return ""
	}
	return all[n][field]
}

// part gives a component of a raw field, from 1, with its escapes decoded.
func (m hl7) part(field string, n int) string {
	parts := strings.Split(field, m.component)
	if n > len(parts) {
		return ""
	}
	return m.unescape(parts[n-1])
}

func (m hl7) unescape(s string) string {
	if m.escape == "" || !strings.Contains(s, m.escape) {
		return s
	}
	e := m.escape
	return strings.NewReplacer(e+"F"+e, m.fieldSep, e+"S"+e, m.component, e+"R"+e, m.repetition, e+"T"+e, "&",
		e+".br"+e, "\n", e+"X0A"+e, "\n", e+"X0D"+e, "\r", e+"E"+e, e).Replace(s)
}

// nhs gives the NHS number in PID-3: the repetition of ten digits with a right check digit.
func (m hl7) nhs() string {
	for _, rep := range strings.Split(m.field("PID", 0, 3), m.repetition) {
		if id := m.part(rep, 1); validNHSNumber(id) {
			return id
		}
	}
	return ""
}

// photos decodes the encapsulated data in OBX: ED is source^type^subtype^encoding^data (HL7 v2 ED). bad
// counts those that claim to be data and are none.
func (m hl7) photos() (photos []Photo, bad int) {
	for _, obx := range m.all("OBX") {
		if len(obx) < 6 || obx[2] != "ED" {
			continue
		}
		data, err := base64.StdEncoding.DecodeString(m.part(obx[5], 5))
		if err != nil || len(data) == 0 || !strings.EqualFold(m.part(obx[5], 4), "Base64") {
			bad++
			continue
		}
		sum := sha256.Sum256(data)
		photos = append(photos, Photo{Name: m.part(obx[3], 2), Type: m.part(obx[5], 2) + "/" + m.part(obx[5], 3),
			Lesion: m.part(obx[4], 1), SHA256: hex.EncodeToString(sum[:]), Bytes: data})
	}
	return photos, bad
}

// texts gives what is written for people.
func (m hl7) texts() []string {
	var out []string
	for _, s := range m.segments {
		switch {
		case s[0] == "OBX" && len(s) > 5 && (s[2] == "TX" || s[2] == "FT" || s[2] == "ST" || s[2] == "CE" || s[2] == "CWE"):
			for _, rep := range strings.Split(s[5], m.repetition) {
				out = append(out, m.unescape(rep))
			}
		case s[0] == "NTE" && len(s) > 3:
			for _, rep := range strings.Split(s[3], m.repetition) {
				out = append(out, m.unescape(rep))
			}
		}
	}
	return out
}

func (m hl7) message() Message {
	photos, _ := m.photos()
	kind := m.field("MSH", 0, 9)
	return Message{Raw: m.raw, Type: m.part(kind, 1) + "^" + m.part(kind, 2), Control: m.field("MSH", 0, 10),
		Patient: m.nhs(), Photos: photos, Texts: m.texts()}
}

// ack answers a message. Each fault is "segment^sequence^field:code of table 0357"; before v2.5 it goes
// into ERR-1, else into ERR-2 and ERR-3.
func (m hl7) ack(at time.Time, code string, faults []string) []byte {
	f, version := m.fieldSep, m.field("MSH", 0, 12)
	if f == "" { // not HL7: answered in the default delimiters
		m.component, m.repetition, m.escape, f, version = "^", "~", `\`, "|", "2.4"
	}
	c := m.component
	trigger := m.part(m.field("MSH", 0, 9), 2)
	lines := []string{
		strings.Join([]string{"MSH", c + m.repetition + m.escape + "&", m.field("MSH", 0, 5), m.field("MSH", 0, 6), m.field("MSH", 0, 3),
			m.field("MSH", 0, 4), at.UTC().Format("20060102150405"), "", "ACK" + c + trigger, "A" + m.field("MSH", 0, 10), "P", version}, f),
		strings.Join([]string{"MSA", code, m.field("MSH", 0, 10)}, f),
	}
	for _, fault := range faults {
		place, number, _ := strings.Cut(fault, ":")
		place = strings.ReplaceAll(place, "^", c)
		if version >= "2.5" {
			lines = append(lines, strings.Join([]string{"ERR", "", place, number, "E"}, f))
		} else {
			lines = append(lines, fmt.Sprintf("ERR%s%s%s%s", f, place, c, number))
		}
	}
	return []byte(strings.Join(lines, "\r") + "\r")
}
