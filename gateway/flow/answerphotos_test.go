package flow_test

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/jpeg"
	"slices"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// TestAnAnswersPhotosAreGivenToSomebody: what a specialist has marked is not sent on by machine, and is not lost for that.
func TestAnAnswersPhotosAreGivenToSomebody(t *testing.T) {
	in := newIntake(t, flow.SourceRules{Answers: true})
	id := in.send(request("R1")).Case
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	answer := in.send("MSH|^~\\&|AGP|RXX01|DERMGATE|RXX01|20261103111500||ORU^R01^ORU_R01|A1|P|2.4|||AL|NE|GBR|UNICODE UTF-8\r" +
		"PID|1||9990001014^^^NHS^NH||Testcase^Rosalind^^^Ms||19680412|2\rOBR|1|REFR1^EMIS||ADVICE^Advice^L|||||||||||||||||||||F\r" +
		"OBX|1|TX|ADVICE^Advice^L||Freeze the marked one.||||||F\r" +
		"OBX|2|ED|OVERVIEW^Marked up^L||^image^jpeg^Base64^" + base64.StdEncoding.EncodeToString(photo.Bytes()) + "||||||F\r")
	if answer.Refused || work(t, in) != 1 {
		t.Fatalf("%s", answer.Answer)
	}
	c := caseOf(t, in, id)
	if !slices.ContainsFunc(c.Tasks, func(k pathway.Task) bool { return k.Code == "answer-photos" && k.Done.IsZero() }) {
		t.Errorf("tasks: %+v", c.Tasks)
	}
}
