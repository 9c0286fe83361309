// Package itk3 writes GP Connect Send Document messages and reads the responses to them: FHIR STU3 as the ITK3 Messaging
// Distribution standard wraps it, in XML. It is pure: a canonical R4 Bundle and files in, bytes out; bytes in, a Response
// out.
//
// Sources, all public: GP Connect Send Document 1.3.2 and 2.x, requirements GPCM-SD-028 to 129; ITK3 Messaging
// Distribution 2.9 and 2.10, handling specification and response codes. Their StructureDefinitions (CareConnect,
// ITK-MessageHeader-2, …) were not at hand: what is written follows the requirements and the order of elements of STU3.
package itk3

// Profiles that the resources declare (GPCM-SD-108), code systems and fixed values.
const (
	nhsSTU3        = "https://fhir.nhs.uk/STU3/StructureDefinition/"
	careConnect    = "https://fhir.hl7.org.uk/STU3/StructureDefinition/"
	handling       = nhsSTU3 + "Extension-ITK-MessageHandling-2"
	numberStatus   = careConnect + "Extension-CareConnect-NHSNumberVerificationStatus-1"
	statusSystem   = "https://fhir.hl7.org.uk/STU3/CodeSystem/CareConnect-NHSNumberVerificationStatus-1"
	eventSystem    = "https://fhir.nhs.uk/STU3/CodeSystem/ITK-MessageEvent-2"
	recipientTypes = "https://fhir.nhs.uk/STU3/CodeSystem/ITK-RecipientType-1"
	definition     = "https://fhir.nhs.uk/STU3/MessageDefinition/ITK-GPConnectSendDocument-MessageDefinition-Instance-1"
	uuidSystem     = "https://tools.ietf.org/html/rfc4122"

	eventSend     = "ITK007C" // ITK GP Connect Send Document
	eventResponse = "ITK008M" // ITK Response
)

// Workflow ids of MESH by which a message is version 1.3 or 2 of Send Document; their responses end in _ACK.
const (
	ConsultReport = "GPFED_CONSULT_REPORT"
	SendDocument  = "GPCONNECT_SEND_DOCUMENT"
)

// AckOf gives the workflow id of the responses to messages of a workflow (GPCM-SD-058).
func AckOf(workflow string) string { return workflow + "_ACK" }
