package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"slices"
	"strings"
)

// node is an element of FHIR XML.
type node struct {
	XMLName xml.Name
	Value   string `xml:"value,attr"`
	URL     string `xml:"url,attr"`
	Inner   string `xml:",innerxml"`
	Nodes   []node `xml:",any"`
}

// at goes down by names; an empty node where there is none.
func (n node) at(names ...string) node {
	for _, name := range names {
		i := slices.IndexFunc(n.Nodes, func(c node) bool { return c.XMLName.Local == name })
		if i < 0 {
			return node{}
		}
		n = n.Nodes[i]
	}
	return n
}

func (n node) all(name string) (out []node) {
	for _, c := range n.Nodes {
		if c.XMLName.Local == name {
			out = append(out, c)
		}
	}
	return out
}

// extension gives the value of an extension inside another.
func (n node) extension(url string) node {
	for _, x := range n.all("extension") {
		if x.URL == url && len(x.Nodes) > 0 {
			return x.Nodes[0]
		}
	}
	return node{}
}

// entries gives the resources of a Bundle by fullUrl, and in order.
func entries(bundle node) (map[string]node, []node) {
	byURL, list := map[string]node{}, []node{}
	for _, e := range bundle.all("entry") {
		r := e.at("resource")
		if len(r.Nodes) == 1 {
			byURL[e.at("fullUrl").Value] = r.Nodes[0]
			list = append(list, r.Nodes[0])
		}
	}
	return byURL, list
}

// file reads a Send Document message. It gives the id of the message too, where that can be read.
func file(mail *Mail) (Filed, string, error) {
	var bundle node
	if err := xml.NewDecoder(bytes.NewReader(mail.Content())).Decode(&bundle); err != nil {
		return Filed{}, "", err
	}
	id := bundle.at("id").Value
	urls, list := entries(bundle)
	if bundle.XMLName.Local != "Bundle" || bundle.at("type").Value != "message" || len(list) == 0 || list[0].XMLName.Local != "MessageHeader" {
		return Filed{}, id, refused{"20006", "no message with its header first"}
	}
	h := list[0]
	x := node{}
	for _, ext := range h.all("extension") {
		if ext.URL == "https://fhir.nhs.uk/STU3/StructureDefinition/Extension-ITK-MessageHandling-2" {
			x = ext
		}
	}
	switch {
	case x.extension("InfAckRequested").Value != "true":
		return Filed{}, id, refused{"10002", "GPCM-SD-041"}
	case x.extension("BusAckRequested").Value != "true":
		return Filed{}, id, refused{"10003", "GPCM-SD-040"}
	case x.extension("MessageDefinition").at("reference").Value != "https://fhir.nhs.uk/STU3/MessageDefinition/ITK-GPConnectSendDocument-MessageDefinition-Instance-1":
		return Filed{}, id, refused{"10004", "GPCM-SD-043"}
	case x.extension("SenderReference").Value == "":
		return Filed{}, id, refused{"10007", "GPCM-SD-042"}
	case h.at("event", "code").Value != "ITK007C":
		return Filed{}, id, refused{"20006", "GPCM-SD-047"}
	case h.at("source", "endpoint").Value != mail.From:
		return Filed{}, id, refused{"20006", "GPCM-SD-046: the mailbox of the sender"}
	case h.at("timestamp").Value == "" || len(h.all("receiver")) > 0:
		return Filed{}, id, refused{"20006", "GPCM-SD-048 or 049"}
	case urls[h.at("sender", "reference").Value].at("identifier", "value").Value == "":
		return Filed{}, id, refused{"20003", "GPCM-SD-045: the sender's organisation"}
	}
	doc, err := document(urls[h.at("focus", "reference").Value])
	doc.ID, doc.Local = id, x.extension("LocalExtension").Value
	doc.ForAction = x.extension("RecipientType").at("code").Value == "FA"
	if key, routed := strings.CutPrefix(mail.Asked, "GPPROVIDER_"); err == nil && routed {
		if want := strings.ToUpper(doc.Patient + "_" + strings.ReplaceAll(doc.BirthDate, "-", "") + "_" + doc.Name); key != want {
			err = refused{"20009", "GPCM-SD-038: mex-To is not the patient inside"}
		}
	}
	return doc, id, err
}

// document reads the document Bundle.
func document(bundle node) (Filed, error) {
	urls, list := entries(bundle)
	payload := func(why string) (Filed, error) { return Filed{}, refused{"20009", why} }
	if bundle.at("type").Value != "document" || len(list) == 0 || list[0].XMLName.Local != "Composition" {
		return payload("GPCM-SD-103, 104: a document with its Composition first")
	}
	c := list[0]
	for _, r := range list {
		if r.at("meta", "profile").Value == "" {
			return payload("GPCM-SD-108: meta.profile of " + r.XMLName.Local)
		}
	}
	patient := urls[c.at("subject", "reference").Value]
	custodian := urls[c.at("custodian", "reference").Value]
	number := ""
	for _, i := range patient.all("identifier") {
		if i.at("system").Value == "https://fhir.nhs.uk/Id/nhs-number" {
			number = i.at("value").Value
		}
	}
	authors := ""
	for _, a := range c.all("author") {
		authors += urls[a.at("reference").Value].XMLName.Local + " "
	}
	code := c.at("type", "coding", "code").Value
	switch {
	case patient.XMLName.Local != "Patient" || !validNHSNumber(number) || patient.at("birthDate").Value == "" || patient.at("name", "use").Value != "official":
		return payload("GPCM-SD-035, 106: the patient")
	case custodian.XMLName.Local != "Organization" || custodian.at("identifier", "value").Value == "" || custodian.at("name").Value == "":
		return payload("GPCM-SD-105: the custodian")
	case !strings.Contains(authors, "Organization"):
		return payload("GPCM-SD-107: the author")
	case !slices.Contains([]string{"final", "amended"}, c.at("status").Value):
		return payload("GPCM-SD-114: the status")
	case code != "371531000" && code != "149701000000109":
		return payload("GPCM-SD-115: the type")
	case c.at("date").Value == "" || c.at("title").Value == "" || c.at("text", "div").Inner == "" || !slices.Contains([]string{"N", "R"}, c.at("confidentiality").Value):
		return payload("GPCM-SD-116 to 119")
	}
	out := Filed{Title: c.at("title").Value, Status: c.at("status").Value, Date: c.at("date").Value, Type: code, Summary: c.at("text", "div").Inner,
		Patient: number, Name: patient.at("name", "family").Value, BirthDate: patient.at("birthDate").Value, Replaces: c.at("relatesTo", "targetIdentifier", "value").Value}
	binaries := 0
	for _, r := range list {
		if r.XMLName.Local == "Binary" {
			binaries++
		}
	}
	for _, s := range c.all("section") {
		bin := urls[s.at("entry", "reference").Value]
		content, err := base64.StdEncoding.DecodeString(bin.at("content").Value)
		if bin.XMLName.Local != "Binary" || err != nil || len(content) == 0 {
			return payload("GPCM-SD-109 to 111: a section with its attachment")
		}
		if media := bin.at("contentType").Value; media == "application/pdf" && !bytes.HasPrefix(content, []byte("%PDF-")) {
			return Filed{}, refused{"20005", "a PDF that is none"}
		}
		out.Parts = append(out.Parts, Part{Title: s.at("title").Value, Code: s.at("code", "coding", "code").Value, Media: bin.at("contentType").Value, Bytes: content})
	}
	if binaries != len(out.Parts) || binaries == 0 || out.Parts[0].Media != "application/pdf" {
		return payload("GPCM-SD-109: a section for each attachment, the letter first")
	}
	return out, nil
}
