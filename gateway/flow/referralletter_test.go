package flow_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
)

// files gives the type and the first bytes of each file in an HL7 v2 message, in their order.
func files(t *testing.T, message string) (out []string) {
	t.Helper()
	for _, segment := range strings.Split(message, "\r") {
		f := strings.Split(segment, "|")
		if f[0] != "OBX" || f[2] != "ED" {
			continue
		}
		parts := strings.Split(f[5], "^")
		b, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, parts[2]+" "+string(b[:min(4, len(b))]))
	}
	return out
}

// A hospital that gets requests as MDM^T02 gets the referral letter as the first file in them, then the photos; a GP system
// does not get its own letter back.
func TestTheReferralLetterIsTheFirstFile(t *testing.T) {
	for facility, want := range map[string]string{"RXX01": "pdf %PDF", "Y06601": ""} {
		in := newIntake(t, flow.SourceRules{})
		in.Endpoints[0] = flow.Endpoint{Name: "ag", Kind: flow.ToMLLP, Message: "MDM_T02", Version: "2.4", Charset: "UNICODE UTF-8", LetterPhotos: flow.PhotosEmbedded, App: "EPR", Facility: facility}
		r := in.send(request("L1"))
		if r.Refused {
			t.Fatalf("%s", r.Answer)
		}
		sent := sentTo(t, in, r.Case, "ag")
		if len(sent) != 1 {
			t.Fatalf("%d messages", len(sent))
		}
		got := strings.Join(files(t, sent[0]), ", ")
		if got != want {
			t.Errorf("%s: files %q, want %q in %.400s", facility, got, want, sent[0])
		}
	}
}

// A FHIR server that keeps resources gets the letter as a DocumentReference of a Binary.
func TestTheReferralLetterIsLeftWithAServer(t *testing.T) {
	in := newIntake(t, flow.SourceRules{})
	in.Endpoints[0] = flow.Endpoint{Name: "ag", Kind: flow.ToFHIR, Transaction: true}
	b := in.delivered(request("L2"))
	doc := b.First("DocumentReference")
	for d := range b.All("DocumentReference") {
		if d.At("content.attachment.title").Text() == "referral-letter.pdf" {
			doc = d
		}
	}
	url := doc.At("content.attachment.url").Text()
	var data string
	for r := range b.All("Binary") {
		if r.Parent().Child("request").Child("url").Text() == url {
			data = r.Child("data").Text()
		}
	}
	if pdf, err := base64.StdEncoding.DecodeString(data); err != nil || !strings.HasPrefix(string(pdf), "%PDF") {
		t.Errorf("%s leads to %.20q, %v", url, data, err)
	}
}
