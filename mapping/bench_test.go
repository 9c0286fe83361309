package mapping_test

import (
	"bytes"
	"testing"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/maps"
)

// byReference is an advice request with PID, PD1, two PRD, DG1, OBX and three photos by reference.
const byReference = `MSH|^~\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||REF^I12^REF_I12|AG0001|P|2.4|||AL|NE|GBR|UNICODE UTF-8
RF1|P|R^Routine^HL70280|AG^Advice and Guidance^L|||REFAG0001^EMIS|20261124101500||20261124101500|D22.6^Melanocytic naevi of upper limb^I10
PRD|RP^Referring Provider^HL70286|Okafor^Ngozi^^^Dr|1 Lambeth Road^^London^^SE1 7AA^GBR||^WPN^PH^^^^^^^^^02079460001||G5612908^GMP|||LAMBETH ROAD SURGERY^^Y06601
PRD|RT^Referred to Provider^HL70286|||||||||ST ELSEWHERE DERMATOLOGY^^RXX01
PID|1||9990001014^^^NHS^NH||Testcase^Rosalind^Ann^^Ms^^L||19680412|2|||14 Sample Street^^London^^SE1 9ZZ^GBR^H||^PRN^PH^^^^^^^^^02079460123
PD1|||LAMBETH ROAD SURGERY^^Y06601|G5612908^Okafor^Ngozi^^^Dr^^^GMC
DG1|1||400010006^Melanocytic naevus of skin^SCT||20261124|W
OBX|1|FT|QUESTION^Clinical question^L|L1|Changing mole, 7 mm\.br\Excise or watch?||||||F|||20261124101000
OBX|2|CE|PHOTOCONSENT^Consent for clinical photography^L||Y^Given^L||||||F|||20261124100200
OBX|3|RP|OVERVIEW^Overview photo^L|L1|https://photos.example.nhs.uk/1^^image^jpeg||||||F|||20261124100500||||||70559009^Skin of left forearm^SCT~7771000^Left^SCT
OBX|4|RP|CLOSEUP^Close-up photo^L|L1|https://photos.example.nhs.uk/2^^image^jpeg||||||F|||20261124100520||||||70559009^Skin of left forearm^SCT
OBX|5|RP|DERMOSCOPY^Dermoscopic photo^L|L1|https://photos.example.nhs.uk/3^^image^jpeg||||||F|||20261124100540
NTE|1||Patient is anxious about it.`

// BenchmarkReferral is one REF^I12 to validated Bundle bytes.
func BenchmarkReferral(b *testing.B) {
	set, o, m := shippedSet(b), options(b), message(b, byReference)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		res, err := set.ToFHIR(m, o)
		if err != nil {
			b.Fatal(err)
		}
		if issues := fhir.Validate(res.Bundle.Root); len(issues) > 0 {
			b.Fatal(issues)
		}
		if buf, err = fhir.AppendJSON(buf[:0], res.Bundle.Root); err != nil {
			b.Fatal(err)
		}
		res.Release()
	}
	b.ReportMetric(float64(len(buf)), "bundle-bytes")
}

// BenchmarkReferralParts shows where BenchmarkReferral's time goes.
func BenchmarkReferralParts(b *testing.B) {
	set, o, m := shippedSet(b), options(b), message(b, byReference)
	b.Run("translate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			res, err := set.ToFHIR(m, o)
			if err != nil {
				b.Fatal(err)
			}
			res.Release()
		}
	})
	res, err := set.ToFHIR(m, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("validate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fhir.Validate(res.Bundle.Root)
		}
	})
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf, _ = fhir.AppendJSON(buf[:0], res.Bundle.Root)
		}
	})
}

// BenchmarkGoogleMarshal writes the same Bundle with google/fhir, already in its own model.
func BenchmarkGoogleMarshal(b *testing.B) {
	res, err := shippedSet(b).ToFHIR(message(b, byReference), options(b))
	if err != nil {
		b.Fatal(err)
	}
	raw, err := fhir.AppendJSON(nil, res.Bundle.Root)
	if err != nil {
		b.Fatal(err)
	}
	um, err := jsonformat.NewUnmarshaller("Europe/London", fhirversion.R4)
	if err != nil {
		b.Fatal(err)
	}
	proto, err := um.UnmarshalR4(raw)
	if err != nil {
		b.Fatal(err)
	}
	ma, err := jsonformat.NewMarshaller(false, "", "", fhirversion.R4)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		out, err := ma.Marshal(proto)
		if err != nil || bytes.Count(out, nil) == 0 {
			b.Fatal(err)
		}
	}
}

// BenchmarkAnswer writes an advice answer as ORU^R01.
func BenchmarkAnswer(b *testing.B) {
	set := shippedSet(b)
	res, err := set.ToFHIR(message(b, byReference), options(b))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := set.ToHL7(res.Bundle, mapping.Out{Message: "RRI_I12", ControlID: "1"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad compiles all shipped maps.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := mapping.Load(maps.FS); err != nil {
			b.Fatal(err)
		}
	}
}
