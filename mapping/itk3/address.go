package itk3

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// Recipient reads where MESH is to route a message to out of the message itself: GPPROVIDER, NHS number, birth date and
// surname, joined by "_" (MESH endpoint lookup; GPCM-SD-038: they are those of the Patient inside). It reads no further
// than the Patient. What it gives names the patient: it is for the mex-To header alone.
func Recipient(r io.Reader) (string, error) {
	d := xml.NewDecoder(r)
	var path []string
	var number, birth, family, system string
	for {
		token, err := d.Token()
		if err != nil {
			return "", errors.New("itk3: no message with a patient")
		}
		switch t := token.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			value := ""
			for _, a := range t.Attr {
				if a.Name.Local == "value" {
					value = a.Value
				}
			}
			switch below(path, "Patient") {
			case "identifier/system":
				system = value
			case "identifier/value":
				if system == fhir.SystemNHSNumber {
					number = value
				}
			case "name/family":
				family = value
			case "birthDate":
				birth = strings.ReplaceAll(value, "-", "")
			}
		case xml.EndElement:
			path = path[:len(path)-1]
			if t.Name.Local == "Patient" {
				if number == "" || len(birth) != 8 || family == "" {
					return "", errors.New("itk3: a patient without number, birth date or surname")
				}
				return "GPPROVIDER_" + number + "_" + birth + "_" + family, nil
			}
		}
	}
}

// below gives the path under the last element of a name, "" outside of it.
func below(path []string, name string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == name {
			return strings.Join(path[i+1:], "/")
		}
	}
	return ""
}
