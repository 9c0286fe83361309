package mapping_test

import (
	"strings"
	"testing"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"
	"google.golang.org/protobuf/proto"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

// byReference is a referral with PID, PD1, three PRD, two DG1, six OBX, and three photos by reference among them.
const byReference = `MSH|^~\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||REF^I12^REF_I12|AG0001|P|2.4|||AL|NE|GBR|UNICODE UTF-8
RF1|P|R^Routine^HL70280|AG^Advice and Guidance^L|||REFAG0001^EMIS|20261124101500||20261124101500|D22.6^Melanocytic naevi of upper limb^I10
PRD|RP^Referring Provider^HL70286|Okafor^Ngozi^^^Dr|1 Lambeth Road^^London^^SE1 7AA^GBR||^WPN^PH^^^^^^^^^02079460001||G5612908^GMP|||LAMBETH ROAD SURGERY^^Y06601
PRD|RT^Referred to Provider^HL70286|||||||||ST ELSEWHERE DERMATOLOGY^^RXX01
PRD|PP^Primary Care Provider^HL70286|Adeyemi^Tunde^^^Dr|1 Lambeth Road^^London^^SE1 7AA^GBR||||G5612909^GMP|||LAMBETH ROAD SURGERY^^Y06601
PID|1||9990001014^^^NHS^NH||Testcase^Rosalind^Ann^^Ms^^L||19680412|2|||14 Sample Street^^London^^SE1 9ZZ^GBR^H||^PRN^PH^^^^^^^^^02079460123
PD1|||LAMBETH ROAD SURGERY^^Y06601|G5612908^Okafor^Ngozi^^^Dr^^^GMC
DG1|1||400010006^Melanocytic naevus of skin^SCT||20261124|W
DG1|2||38341003^Hypertension^SCT||20190301|F
OBX|1|FT|QUESTION^Clinical question^L|L1|Changing mole, 7 mm\.br\Excise or watch?||||||F|||20261124101000
OBX|2|CE|PHOTOCONSENT^Consent for clinical photography^L||Y^Given^L||||||F|||20261124100200
OBX|3|NM|DIAMETER^Diameter^L|L1|7|mm^millimetre^UCUM|||||F|||20261124101000
OBX|4|RP|OVERVIEW^Overview photo^L|L1|https://photos.example.nhs.uk/1^^image^jpeg||||||F|||20261124100500||||||70559009^Skin of left forearm^SCT~7771000^Left^SCT
OBX|5|RP|CLOSEUP^Close-up photo^L|L1|https://photos.example.nhs.uk/2^^image^jpeg||||||F|||20261124100520||||||70559009^Skin of left forearm^SCT
OBX|6|RP|DERMOSCOPY^Dermoscopic photo^L|L1|https://photos.example.nhs.uk/3^^image^jpeg||||||F|||20261124100540`

// newPatient is a small ADT^A28.
const newPatient = `MSH|^~\&|PAS|RXX01|DERMGATE|RXX01|20261126090000||ADT^A28^ADT_A05|PAS0010|P|2.4|||AL|NE|GBR|UNICODE UTF-8
EVN|A28|20261126085900
PID|1||RXX0042^^^RXX01^MR~9990001014^^^NHS^NH||Testcase^Rosalind^Ann^^Ms^^L||19680412|2|||14 Sample Street^^London^^SE1 9ZZ^GBR^H||^PRN^PH^^^^^^^^^02079460123|||||||||A||||||||||01
PD1|||LAMBETH ROAD SURGERY^^Y06601|G5612908^Okafor^Ngozi^^^Dr^^^GMC
NK1|1|Testcase^Ivo|SPO^Spouse|14 Sample Street^^London|^PRN^PH^^^^^^^^^02079460124
PV1|1|O|DERM^^^RXX01||||G5612908^Okafor^Ngozi^^^Dr^^^GMP`

// report is a laboratory's ORU^R01 of 1.5 KB.
const report = `MSH|^~\&|LAB|RXX01|DERMGATE|RXX01|20261126090000||ORU^R01^ORU_R01|LAB0001|P|2.4|||AL|NE|GBR|UNICODE UTF-8
PID|1||RXX0042^^^RXX01^MR~9990001014^^^NHS^NH||Testcase^Rosalind^Ann^^Ms^^L||19680412|2|||14 Sample Street^^London^^SE1 9ZZ^GBR^H
PV1|1|O|DERM^^^RXX01||||C1234567^Kaur^Simran^^^Dr^^^GMC
ORC|RE|ORD0001^ICE|LAB77001^LAB||CM
OBR|1|ORD0001^ICE|LAB77001^LAB|44P..^Full blood count^RCT|||20261125091000|||||||20261125113000||C1234567^Kaur^Simran^^^Dr^^^GMC||||||20261126084500||HAEM|F
NTE|1|L|Sample received by hand.
OBX|1|NM|423..^Haemoglobin^RCT||128|g/L|120-160|N|||F|||20261125173000
OBX|2|NM|426..^Red cell count^RCT||4.21|10*12/L|3.80-5.80|N|||F|||20261125173000
OBX|3|NM|425..^Haematocrit^RCT||0.38|L/L|0.37-0.47|N|||F|||20261125173000
OBX|4|NM|42A..^Mean cell volume^RCT||91|fL|80-100|N|||F|||20261125173000
OBX|5|NM|42H..^White cell count^RCT||11.9|10*9/L|4.0-11.0|H|||F|||20261125173000
OBX|6|NM|42P..^Platelet count^RCT||402|10*9/L|150-400|H|||F|||20261125173000
OBX|7|NM|42K..^Eosinophil count^RCT||0.61|10*9/L|0.04-0.40|H|||F|||20261125173000
OBX|8|NM|42J..^Neutrophil count^RCT||6.8|10*9/L|2.0-7.5|N|||F|||20261125173000
OBX|9|NM|42M..^Lymphocyte count^RCT||3.6|10*9/L|1.0-4.0|N|||F|||20261125173000
OBX|10|NM|42N..^Monocyte count^RCT||0.8|10*9/L|0.2-1.0|N|||F|||20261125173000
OBX|11|NM|42L..^Basophil count^RCT||0.05|10*9/L|0.00-0.10|N|||F|||20261125173000
OBX|12|ST|COMMENT^Comment^L||Mild eosinophilia, in keeping with atopic eczema.||||||F|||20261126083000`

// BenchmarkTranslate is one message's bytes to validated Bundle bytes; beside it google/fhir builds and writes the
// same Bundle: the building is proto.Clone of a finished one, which spares it all that code written by hand
// decides and converts.
func BenchmarkTranslate(b *testing.B) {
	for _, m := range []struct{ name, text string }{{"REF_I12", byReference}, {"ADT_A28", newPatient}, {"ORU_R01", report}} {
		in := []byte(strings.ReplaceAll(m.text, "\n", "\r"))
		var out []byte
		b.Run(m.name+"/dermgate", func(b *testing.B) { out = benchmarkTranslate(b, in) })
		b.Run(m.name+"/google", func(b *testing.B) { benchmarkGoogle(b, out) })
	}
}

func benchmarkTranslate(b *testing.B, in []byte) (out []byte) {
	set, o, m := shippedSet(b), options(b), new(hl7.Message)
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Reset(in); err != nil {
			b.Fatal(err)
		}
		res, err := set.ToFHIR(m, o)
		if err != nil {
			b.Fatal(err)
		}
		if issues := fhir.Validate(res.Bundle.Root); len(issues) > 0 {
			b.Fatal(issues)
		}
		if out, err = fhir.AppendJSON(out[:0], res.Bundle.Root); err != nil {
			b.Fatal(err)
		}
		res.Release()
	}
	b.ReportMetric(float64(len(in)), "message-bytes")
	b.ReportMetric(float64(len(out)), "bundle-bytes")
	return out
}

func benchmarkGoogle(b *testing.B, bundle []byte) {
	um, err := jsonformat.NewUnmarshaller("Europe/London", fhirversion.R4)
	if err != nil {
		b.Fatal(err)
	}
	built, err := um.UnmarshalR4(bundle)
	if err != nil {
		b.Fatal(err)
	}
	ma, err := jsonformat.NewMarshaller(false, "", "", fhirversion.R4)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ma.Marshal(proto.Clone(built)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReferralParts shows where BenchmarkTranslate/REF_I12's time goes.
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
	b.Run("profiles", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for r := range res.Bundle.Resources() {
				r.Declare()
			}
		}
	})
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

// BenchmarkTrace translates a referral without a trace and with one. It does not show what a translation would cost
// that could not trace at all: there is no such build. BenchmarkTraceOff measures what is left of it when it is off.
func BenchmarkTrace(b *testing.B) {
	set, m := shippedSet(b), message(b, byReference)
	for _, on := range []bool{false, true} {
		o := options(b)
		o.Trace = on
		b.Run(map[bool]string{false: "off", true: "on"}[on], func(b *testing.B) {
			b.ReportAllocs()
			elements := 0
			for b.Loop() {
				res, err := set.ToFHIR(m, o)
				if err != nil {
					b.Fatal(err)
				}
				if (res.Trace != nil) != on {
					b.Fatal("a trace that was not asked for, or none")
				}
				if on {
					elements = len(res.Trace.Elements)
				}
				res.Release()
			}
			b.ReportMetric(float64(elements), "traced-elements")
		})
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
