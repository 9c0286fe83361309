package flow_test

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/jpeg"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// withAnswers is an intake whose answers go to a practice's HL7 v2 system and to a FHIR server.
func withAnswers(t *testing.T, gp flow.Endpoint) *intake {
	in := newIntake(t, flow.SourceRules{Answers: true})
	in.Bodies = bodies{}
	gp.Name, gp.Kind, gp.Message = "gp", flow.ToMLLP, "RRI_I12"
	in.Endpoints = append(in.Endpoints, gp, flow.Endpoint{Name: "store", Kind: flow.ToFHIR})
	in.Routes = []flow.Route{{When: flow.When{Case: "advice"}, To: []string{"ag"}}, {When: flow.When{Event: flow.Answered}, To: []string{"gp", "store"}}}
	return in
}

// sentTo gives the messages of a case to a destination, in their order.
func sentTo(t *testing.T, in *intake, id flow.ID, to string) (out []string) {
	t.Helper()
	all, err := in.Store.Deliveries(t.Context(), flow.DeliveryQuery{Case: id, To: to})
	if err != nil {
		t.Fatal(err)
	}
	for _, del := range all {
		one, err := in.Store.Deliveries(t.Context(), flow.DeliveryQuery{ID: del.ID}) // with its content
		if err != nil {
			t.Fatal(err)
		}
		b, err := in.Content(t.Context(), one[0])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

func plain(t *testing.T, shade int) string {
	t.Helper()
	var b bytes.Buffer
	picture := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range picture.Pix {
		picture.Pix[i] = byte(shade)
	}
	if err := jpeg.Encode(&b, picture, nil); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// advised is an answer as ORU^R01 with these files in further OBX.
func advised(id, words string, files ...string) string {
	out := "MSH|^~\\&|AGP|RXX01|DERMGATE|RXX01|20261103111500||ORU^R01^ORU_R01|" + id + "|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r" +
		"PID|1||9990001014^^^NHS^NH||Testcase^Rosalind^^^Ms||19680412|2\rOBR|1|REFR1^EMIS||ADVICE^Advice^L|||||||||||||||||||||F\r" +
		"OBX|1|TX|ADVICE^Advice^L||" + words + "||||||F\r"
	for _, f := range files {
		what := "OVERVIEW^Marked up^L|L1|^image^jpeg"
		if strings.HasPrefix(f, "JVBER") {
			what = "LETTER^Letter^L||^application^pdf"
		}
		out += "OBX||ED|" + what + "^Base64^" + f + "||||||F\r"
	}
	return out
}

const letter = "JVBERi0xLjQKMSAwIG9iago8PC9UeXBlL0NhdGFsb2c+PgplbmRvYmoKdHJhaWxlcgo8PC9Sb290IDEgMCBSPj4KJSVFT0YK"

// TestWhatAnAnswerBringsGoesWithIt: a photo and a letter reach who asked, by HL7 v2 and FHIR, in whatever form the answer takes
// there; a photo of the request does not go back, and no other news takes them along.
func TestWhatAnAnswerBringsGoesWithIt(t *testing.T) {
	mine, ringed := plain(t, 10), plain(t, 200)
	for name, c := range map[string]struct {
		gp       flow.Endpoint
		messages int
		mine     bool // an embedded letter repeats the photos of the request
		task     bool
	}{
		"ORU":                 {flow.Endpoint{Answer: "ORU_R01"}, 1, false, false},
		"RRI":                 {flow.Endpoint{Answer: "RRI_I12"}, 1, false, false},
		"letter":              {flow.Endpoint{Answer: "MDM_T02", LetterPhotos: flow.PhotosEmbedded}, 1, true, false},
		"documents":           {flow.Endpoint{Answer: "MDM_T02", LetterPhotos: flow.PhotosDocuments}, 3, true, false},
		"a letter by itself":  {flow.Endpoint{Answer: "MDM_T02", LetterPhotos: flow.PhotosNone}, 1, false, true},
		"fewer than it takes": {flow.Endpoint{Answer: "ORU_R01", Takes: flow.Takes{Files: 1}}, 1, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			in := withAnswers(t, c.gp)
			id := in.send(request("R1") + "OBX|2|ED|OVERVIEW^Overview photo^L|L1|^image^jpeg^Base64^" + mine + "||||||F\r").Case
			in.send(advised("A1", "Freeze the ringed one.", ringed, mine, letter))
			work(t, in)
			sent := sentTo(t, in, id, "gp")
			all := strings.Join(sent, "")
			if len(sent) != c.messages || strings.Count(all, ringed) != map[bool]int{true: 0, false: 1}[c.task] || strings.Contains(all, mine) != c.mine || strings.Count(all, letter) != 1 {
				t.Errorf("%d messages: %s", len(sent), strings.ReplaceAll(all, "\r", "\n"))
			}
			if asks(caseOf(t, in, id), "answer-photos") != c.task {
				t.Errorf("tasks: %+v", caseOf(t, in, id).Tasks)
			}
			inFHIR(t, sentTo(t, in, id, "store"), ringed, letter)
			in.send(advised("A2", "Or watch it."))
			work(t, in)
			if all := strings.Join(sentTo(t, in, id, "store")[1:], ""); strings.Contains(all, ringed) || strings.Contains(all, letter) {
				t.Error("the next answer takes along what the first brought")
			}
		})
	}
}

// inFHIR looks for files in a Bundle of which each reference leads somewhere.
func inFHIR(t *testing.T, sent []string, files ...string) {
	t.Helper()
	if len(sent) != 1 {
		t.Fatalf("%d Bundles", len(sent))
	}
	root, issues := fhir.Read([]byte(sent[0]), fhir.ReadOptions{})
	if len(issues) > 0 {
		t.Fatal(issues, sent[0])
	}
	b := &fhir.Bundle{Root: root}
	for _, file := range files {
		n := 0
		for r := range b.Resources() {
			att := r.At("content.attachment")
			if r.Type().Name == "Media" {
				att = r.Child("content")
			}
			if b.Resolve(att.Child("url").Text()).Child("data").Text() == file {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d resources have the file", n)
		}
	}
	said := 0
	for p := range b.First("Communication").Children("payload") {
		if ref := p.At("contentReference.reference"); ref.OK() && b.Resolve(ref.Text()).OK() {
			said++
		}
	}
	if said != len(files) {
		t.Errorf("the answer says %d files of %d", said, len(files))
	}
}

// TestAnAnswersPhotoThatCannotGo holds up no words: somebody brings it over.
func TestAnAnswersPhotoThatCannotGo(t *testing.T) {
	in := withAnswers(t, flow.Endpoint{Answer: "ORU_R01"})
	rules := in.Sources["gp"]
	rules.Checks.Photo = flow.Off
	in.Sources["gp"] = rules
	id := in.send(request("R1")).Case
	broken := plain(t, 7)[:64] + strings.Repeat("A", 64)
	in.send(advised("A1", "Freeze the ringed one.", broken))
	work(t, in)
	c, sent := caseOf(t, in, id), sentTo(t, in, id, "gp")
	if c.State != pathway.Responded || len(sent) != 1 || !strings.Contains(sent[0], "Freeze") || !asks(c, "answer-photos") {
		t.Errorf("%+v, %v", c, sent)
	}
}

// TestAnAmendedLetterIsAnAmendment although its words are the same, or none.
func TestAnAmendedLetterIsAnAmendment(t *testing.T) {
	in := withAnswers(t, flow.Endpoint{Answer: "ORU_R01"})
	id := in.send(request("R1")).Case
	other := base64.StdEncoding.EncodeToString([]byte("%PDF-1.4\n1 0 obj\n<</Type/Catalog/New true>>\nendobj\ntrailer\n<</Root 1 0 R>>\n%%EOF\n"))
	for i, file := range []string{letter, letter, other} {
		in.send(advised("A"+string(rune('1'+i)), "See the letter.", file))
		work(t, in)
	}
	if sent := sentTo(t, in, id, "gp"); len(sent) != 2 || !strings.Contains(sent[1], other) {
		t.Errorf("%d messages", len(sent))
	}
}
