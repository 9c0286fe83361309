package fhir

// Identifier and code systems of the NHS and of HL7 that the gateway writes or looks for
// (pathway.md §2.3, hl7-mapping.md §3).
const (
	SystemNHSNumber       = "https://fhir.nhs.uk/Id/nhs-number"
	SystemODSOrganisation = "https://fhir.nhs.uk/Id/ods-organization-code"
	SystemODSSite         = "https://fhir.nhs.uk/Id/ods-site-code"
	SystemGMC             = "https://fhir.hl7.org.uk/Id/gmc-number"
	SystemGMP             = "https://fhir.hl7.org.uk/Id/gmp-number"
	SystemNMC             = "https://fhir.hl7.org.uk/Id/nmc-number"
	SystemHCPC            = "https://fhir.hl7.org.uk/Id/hcpc-number"
	SystemSDSUser         = "https://fhir.nhs.uk/Id/sds-user-id"
	SystemSDSRole         = "https://fhir.nhs.uk/Id/sds-role-profile-id"
	SystemUBRN            = "https://fhir.nhs.uk/Id/UBRN"
	SystemERSRequest      = "https://fhir.nhs.uk/Id/ers-request-id"
	SystemERSService      = "http://fhir.nhs.net/Id/ers-service"

	SystemRequestCategory = "https://fhir.nhs.uk/CodeSystem/message-category-servicerequest"
	SystemRequestCode     = "https://fhir.nhs.uk/CodeSystem/servicerequest-code"
	SystemMessageEvents   = "https://fhir.nhs.uk/CodeSystem/message-events-bars"
	SystemMessageReason   = "https://fhir.nhs.uk/CodeSystem/message-reason-bars"
	SystemTriggerEvent    = "http://terminology.hl7.org/CodeSystem/v2-0003"
	SystemIdentifierType  = "http://terminology.hl7.org/CodeSystem/v2-0203"
	SystemAGStatus        = "https://fhir.nhs.uk/STU3/CodeSystem/eRS-AdviceAndGuidanceStatus-1"
	SystemReferralState   = "https://fhir.nhs.uk/STU3/CodeSystem/eRS-ReferralState-1"
	SystemSNOMED          = "http://snomed.info/sct"
	SystemDCM             = "http://dicom.nema.org/resources/ontology/DCM"
)

// Our own systems and extensions.
const (
	ExtensionBase   = "https://dermgate.github.io/fhir/StructureDefinition/"
	SystemSHA256    = "urn:dermgate:sha-256" // of a message as it came, hex
	SystemMaps      = "urn:dermgate:maps"    // digest of a map set
	SystemConsent   = "https://dermgate.github.io/fhir/CodeSystem/consent"
	SystemAct       = "https://dermgate.github.io/fhir/CodeSystem/act"
	SystemPhotoStep = "https://dermgate.github.io/fhir/CodeSystem/photo-step" // image.Step: what was done to a photo
	SystemControlID = "urn:dermgate:control-id"                               // MSH-10 of the message a Bundle was made of
	SystemOutput    = "https://dermgate.github.io/fhir/CodeSystem/task-output"
	SystemInput     = "https://dermgate.github.io/fhir/CodeSystem/task-input"
)

// ValidNHSNumber tells whether a text is ten digits with a right check digit (Modulus 11, NHS Data
// Dictionary: NHS NUMBER).
func ValidNHSNumber(s string) bool {
	if len(s) != 10 || digits(s) != 10 {
		return false
	}
	sum := 0
	for i := range 9 {
		sum += int(s[i]-'0') * (10 - i)
	}
	check := (11 - sum%11) % 11
	return check < 10 && int(s[9]-'0') == check
}
