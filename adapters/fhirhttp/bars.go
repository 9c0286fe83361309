package fhirhttp

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// BaRS are the request headers of the Booking and Referral Standard (API 1.4.0, POST /$process-message), for a receiver that
// takes messages as that standard carries them. They depend on nothing but the configuration, so that a retry has the same.
//
// NHSD-Requesting-Practitioner is not sent: who asks is in the message.
type BaRS struct {
	Service    string // dos-service-id of the receiver
	UseContext string // use-context, "a4t2|validation|servicerequest-request|new"; empty: not sent
	ODS, Name  string // of the organisation that sends
	Version    string // of this software
}

// coreVersion is the BaRS core that is spoken.
const coreVersion = "; version=1.2.0"

type barsIdentifier struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

type barsOrganisation struct {
	ResourceType string           `json:"resourceType"`
	Identifier   []barsIdentifier `json:"identifier"`
	Name         string           `json:"name,omitempty"`
}

// barsDevice has its name and version as objects: so they are in the specification's example, against FHIR's cardinality.
type barsDevice struct {
	ResourceType string           `json:"resourceType"`
	Identifier   []barsIdentifier `json:"identifier"`
	DeviceName   struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"deviceName"`
	Version struct {
		Value string `json:"value"`
	} `json:"version"`
}

// set writes the headers of a request.
func (b *BaRS) set(h http.Header) {
	device := barsDevice{ResourceType: "Device", Identifier: []barsIdentifier{{"https://dermgate.github.io/Id/software", "dermgate"}}}
	device.DeviceName.Name, device.DeviceName.Type, device.Version.Value = "Dermgate", "user-friendly-name", b.Version
	h.Set("NHSD-Target-Identifier", encoded(barsIdentifier{"https://fhir.nhs.uk/Id/dos-service-id", b.Service}))
	h.Set("NHSD-End-User-Organisation", encoded(barsOrganisation{"Organization", []barsIdentifier{{"https://fhir.nhs.uk/Id/ods-organization-code", b.ODS}}, b.Name}))
	h.Set("NHSD-Requesting-Software", encoded(device))
	h.Set("Accept", MediaType+coreVersion)
	if b.UseContext != "" {
		h.Set("use-context", b.UseContext)
	}
}

func encoded(v any) string {
	b, _ := json.Marshal(v) // strings alone: it cannot fail
	return base64.StdEncoding.EncodeToString(b)
}

// spoke tells whether an answer is the receiver's own: it echoes the ids and says why. Else a device on the way has answered,
// and the message may be sent again.
func (b *BaRS) spoke(resp *http.Response, key, conversation string, a ack) bool {
	return strings.EqualFold(resp.Header.Get("X-Request-ID"), key) && strings.EqualFold(resp.Header.Get("X-Correlation-ID"), conversation) &&
		len(a.issues()) > 0
}
