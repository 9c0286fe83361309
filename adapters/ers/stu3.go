package ers

import (
	"encoding/json"
	"errors"
)

// The FHIR STU3 shapes that e-RS speaks: only the elements that are written or read here. Field order is
// that of the published examples.

const (
	definition = "https://fhir.nhs.uk/STU3/StructureDefinition/"
	codeSystem = "https://fhir.nhs.uk/STU3/CodeSystem/"

	systemNHSNumber = "http://fhir.nhs.net/Id/nhs-number"
	systemSDSUser   = "http://fhir.nhs.net/Id/sds-user-id"
	systemService   = "http://fhir.nhs.net/Id/ers-service"
	systemRequestID = "https://fhir.nhs.uk/Id/ers-request-id"

	mediaType = "application/fhir+json"
)

type meta struct {
	VersionID string   `json:"versionId,omitempty"`
	Profile   []string `json:"profile,omitempty"`
}

func profile(names ...string) *meta {
	m := &meta{}
	for _, n := range names {
		m.Profile = append(m.Profile, definition+n)
	}
	return m
}

type coding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

func code(system, value string) *coding { return &coding{System: codeSystem + system, Code: value} }

type concept struct {
	Coding []coding `json:"coding"`
}

type identifier struct {
	System string `json:"system,omitempty"`
	Value  string `json:"value,omitempty"`
}

type reference struct {
	Reference  string      `json:"reference,omitempty"`
	Identifier *identifier `json:"identifier,omitempty"`
	Display    string      `json:"display,omitempty"`
}

type extension struct {
	URL       string      `json:"url"`
	Extension []extension `json:"extension,omitempty"`
	Reference *reference  `json:"valueReference,omitempty"`
	Coding    *coding     `json:"valueCoding,omitempty"`
	Concept   *concept    `json:"valueCodeableConcept,omitempty"`
	String    string      `json:"valueString,omitempty"`
	DateTime  string      `json:"valueDateTime,omitempty"`
	Instant   string      `json:"valueInstant,omitempty"`
	Integer   int         `json:"valueInteger,omitempty"`
}

type parameters struct {
	ResourceType string      `json:"resourceType"`
	ID           string      `json:"id,omitempty"`
	Meta         *meta       `json:"meta,omitempty"`
	Parameter    []parameter `json:"parameter"`
}

type parameter struct {
	Name       string      `json:"name"`
	Identifier *identifier `json:"valueIdentifier,omitempty"`
	Coding     *coding     `json:"valueCoding,omitempty"`
	String     string      `json:"valueString,omitempty"`
	Concept    *concept    `json:"valueCodeableConcept,omitempty"`
	Boolean    *bool       `json:"valueBoolean,omitempty"`
	Unsigned   *uint       `json:"valueUnsignedInt,omitempty"`
	Resource   any         `json:"resource,omitempty"`
}

type listOf struct {
	Meta         *meta        `json:"meta"`
	ResourceType string       `json:"resourceType"`
	Status       string       `json:"status"`
	Mode         string       `json:"mode"`
	Contained    []parameters `json:"contained"`
	Entry        []listEntry  `json:"entry"`
	Extension    []extension  `json:"extension"`
}

type listEntry struct {
	Item reference `json:"item"`
}

type documentReference struct {
	Meta         *meta          `json:"meta"`
	ResourceType string         `json:"resourceType"`
	ID           string         `json:"id,omitempty"`
	Type         concept        `json:"type"`
	Status       string         `json:"status"`
	Indexed      string         `json:"indexed"`
	Description  string         `json:"description,omitempty"`
	Content      []contentEntry `json:"content"`
}

type contentEntry struct {
	Attachment attachment `json:"attachment"`
}

type attachment struct {
	Extension   []extension `json:"extension,omitempty"`
	ContentType string      `json:"contentType,omitempty"`
	URL         string      `json:"url"`
	Size        int64       `json:"size,omitempty"`
	Title       string      `json:"title,omitempty"`
	Creation    string      `json:"creation,omitempty"`
}

type appointment struct {
	ID               string        `json:"id"`
	Meta             *meta         `json:"meta"`
	Language         string        `json:"language"`
	ResourceType     string        `json:"resourceType"`
	Status           string        `json:"status"`
	Reason           []concept     `json:"reason"`
	Description      string        `json:"description"`
	Created          string        `json:"created,omitempty"`
	IncomingReferral []reference   `json:"incomingReferral"`
	Participant      []participant `json:"participant"`
}

type participant struct {
	Actor  reference `json:"actor"`
	Status string    `json:"status"`
}

// ersRequest is a ReferralRequest (A005, A011, A012) or a CommunicationRequest (A024, A044) as read.
type ersRequest struct {
	ResourceType string            `json:"resourceType"`
	ID           string            `json:"id"`
	Meta         meta              `json:"meta"`
	Extension    []extension       `json:"extension"`
	Contained    []json.RawMessage `json:"contained"`
	Category     []concept         `json:"category"`
	Specialty    *concept          `json:"specialty"`
	Subject      reference         `json:"subject"`
	Supporting   []reference       `json:"supportingInfo"`
	Requester    struct {
		Agent struct {
			Extension []extension `json:"extension"`
		} `json:"agent"`
	} `json:"requester"`
	Recipient []struct {
		Extension []extension `json:"extension"`
	} `json:"recipient"`
	Identifier []identifier `json:"identifier"`
}

// communication is one message of an A&G conversation (A025).
type communication struct {
	ResourceType string    `json:"resourceType"`
	ID           string    `json:"id"`
	Category     []concept `json:"category"`
	Sent         string    `json:"sent"`
	Payload      []struct {
		ContentReference reference `json:"contentReference"`
	} `json:"payload"`
	Note []struct {
		Text string `json:"text"`
	} `json:"note"`
}

// conversation is the search set of A025.
type conversation struct {
	Entry []struct {
		FullURL  string          `json:"fullUrl"`
		Resource json.RawMessage `json:"resource"`
	} `json:"entry"`
}

// operationOutcome is e-RS's word on what it refused. Codes are matched, not systems: the published prose
// and examples name different ones.
type operationOutcome struct {
	Issue []struct {
		Details concept `json:"details"`
	} `json:"issue"`
}

// find gives the first extension of a name (the URL's end), the zero one when there is none.
func find(all []extension, url string) extension {
	for _, e := range all {
		if e.URL == url {
			return e
		}
	}
	return extension{}
}

func (c *coding) code() string {
	if c == nil {
		return ""
	}
	return c.Code
}

func (c *concept) code(system string) string {
	if c == nil {
		return ""
	}
	for _, x := range c.Coding {
		if system == "" || x.System == codeSystem+system {
			return x.Code
		}
	}
	return ""
}

// requestID gives the ers-request-id, "a.<uuid>" or "r.<uuid>".
func (r ersRequest) requestID() string {
	for _, id := range r.Identifier {
		if id.System == systemRequestID {
			return id.Value
		}
	}
	return ""
}

// priority gives ROUTINE, URGENT or TWO_WEEK_WAIT.
func (r ersRequest) priority() string {
	return find(r.Extension, definition+"Extension-eRS-ReferralPriority-1").Concept.code("")
}

// state gives eRS-AdviceAndGuidanceStatus-1 or eRS-ReferralState-1.
func (r ersRequest) state() string {
	for _, c := range r.Category {
		if s := c.code("eRS-AdviceAndGuidanceStatus-1"); s != "" {
			return s
		}
	}
	return r.stateOf("state").Coding.code()
}

// reason and comments are those of a triage outcome (A028).
func (r ersRequest) reason() string { return r.stateOf("reason").Coding.code() }

func (r ersRequest) comments() string { return r.stateOf("comments").String }

func (r ersRequest) stateOf(part string) extension {
	return find(find(r.Extension, definition+"Extension-eRS-ReferralState-1").Extension, part)
}

// letters gives the referrer's attachments, which A012 replaces as a whole. Files that the provider
// attached are not the referrer's to list. One that cannot be read is an error: left out, it would be lost.
func (r ersRequest) letters() ([]documentReference, error) {
	docs, err := documentReferences(r.Contained)
	if err != nil {
		return nil, err
	}
	var out []documentReference
	for _, d := range docs {
		if d.Type.code("eRS-AttachmentType-1") == "REFERRER" {
			if len(d.Content) == 0 || d.Content[0].Attachment.URL == "" {
				return nil, errors.New("an attachment without a URL")
			}
			out = append(out, d)
		}
	}
	return out, nil
}

// documentReferences gives those among resources. One that cannot be read is an error.
func documentReferences(resources []json.RawMessage) ([]documentReference, error) {
	var out []documentReference
	for _, raw := range resources {
		kind, err := typeOf(raw)
		if err != nil {
			return nil, err
		}
		if kind != "DocumentReference" {
			continue
		}
		var d documentReference
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// typeOf gives a resource's type.
func typeOf(raw json.RawMessage) (string, error) {
	var head struct {
		ResourceType string `json:"resourceType"`
	}
	err := json.Unmarshal(raw, &head)
	return head.ResourceType, err
}
