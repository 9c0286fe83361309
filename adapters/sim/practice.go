package sim

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Practice is a GP practice behind a mailbox of MESH: it takes GP Connect Send Document messages (ITK3, STU3, XML), files
// what they hold, and answers with the infrastructure and the business response that they ask for. What breaks a
// requirement of Send Document is refused with its response code.
//
// It does not hold a message to the StructureDefinitions of CareConnect and ITK3, which are not public as a whole: it checks
// the requirements GPCM-SD-035 to 123 that the message alone shows.
type Practice struct {
	ODS            string
	Infrastructure string        // its infrastructure response: a code, "none", or empty: as it judges, 20013
	Business       string        // its business response: a code, "none", or empty: 30001
	Reversed       bool          // the business response first
	Twice          bool          // each response twice
	Delay          time.Duration // before it collects
	Away           bool          // it does not collect

	filed []Filed
	seen  map[string]bool
}

// Filed is a document as the practice has it.
type Filed struct {
	ID, Title, Status, Date  string
	Type                     string // SNOMED CT
	Summary                  string // Composition.text
	Patient, Name, BirthDate string
	Replaces                 string
	ForAction                bool
	Local                    string // LocalExtension
	Parts                    []Part
}

// Part is a section of a filed document.
type Part struct {
	Title, Code, Media string
	Bytes              []byte
}

// Filed gives what a practice has filed.
func (m *MESH) Filed(p *Practice) []Filed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(p.filed)
}

// Set changes how a practice behaves.
func (m *MESH) Set(p *Practice, change func(*Practice)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(p)
}

// collect lets a practice take a message, now or after its delay. The lock is held.
func (m *MESH) collect(box *mailbox, mail *Mail) {
	p := box.practice
	if p.Away {
		return
	}
	if p.Delay <= 0 {
		m.take(box, mail)
		return
	}
	m.working.Go(func() {
		time.Sleep(p.Delay)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.take(box, mail)
	})
}

// take files a message and answers it.
func (m *MESH) take(box *mailbox, mail *Mail) {
	m.drop(mail)
	mail.Status = "acknowledged"
	p := box.practice
	doc, bundle, err := file(mail)
	infrastructure, business := "20013", p.Business
	switch {
	case errors.As(err, new(refused)):
		infrastructure, business = err.(refused).code, "none"
	case err != nil:
		infrastructure, business = "10009", "none"
	case p.seen[bundle]:
		infrastructure, business = "20007", "none"
	default:
		if business == "" {
			business = "30001"
		}
		if business == "30001" && (p.Infrastructure == "" || p.Infrastructure == "20013") {
			p.filed = append(p.filed, doc)
		}
		if p.seen == nil {
			p.seen = map[string]bool{}
		}
		p.seen[bundle] = true
	}
	if p.Infrastructure != "" {
		infrastructure = p.Infrastructure
		if infrastructure != "20013" && infrastructure != "none" {
			business = "none"
		}
	}
	codes := []string{infrastructure, business}
	if p.Reversed {
		slices.Reverse(codes)
	}
	if p.Twice {
		codes = append(codes, codes...)
	}
	for _, code := range codes {
		if code == "none" {
			continue
		}
		m.lay(&Mail{From: box.id, To: mail.From, Workflow: mail.Workflow + "_ACK", ContentType: "application/fhir+xml", Total: 1,
			Chunks: [][]byte{m.response(p, bundle, code)}})
	}
}

// response writes an ITK3 response.
func (m *MESH) response(p *Practice, bundle, code string) []byte {
	result, severity, kind := "ok", "information", "informational"
	if code != "20013" && code != "30001" {
		result, severity, kind = "fatal-error", "fatal", "processing"
	}
	return []byte(strings.NewReplacer("$id", m.uuid(), "$header", m.uuid(), "$org", m.uuid(), "$outcome", m.uuid(), "$message", bundle, "$at", m.Now().UTC().Format(time.RFC3339),
		"$ods", p.ODS, "$result", result, "$severity", severity, "$kind", kind, "$code", code).Replace(itkResponse))
}

const itkResponse = `<?xml version="1.0" encoding="UTF-8"?>
<Bundle xmlns="http://hl7.org/fhir"><id value="$id"/><meta><profile value="https://fhir.nhs.uk/STU3/StructureDefinition/ITK-Message-Bundle-1"/></meta><type value="message"/>
<entry><fullUrl value="urn:uuid:$header"/><resource><MessageHeader><id value="$header"/>
<extension url="https://fhir.nhs.uk/STU3/StructureDefinition/Extension-ITK-MessageHandling-2"><extension url="BusAckRequested"><valueBoolean value="false"/></extension><extension url="InfAckRequested"><valueBoolean value="false"/></extension><extension url="SenderReference"><valueString value="$message"/></extension></extension>
<event><system value="https://fhir.nhs.uk/STU3/CodeSystem/ITK-MessageEvent-2"/><code value="ITK008M"/><display value="ITK Response"/></event>
<sender><reference value="urn:uuid:$org"/></sender><timestamp value="$at"/><source><endpoint value="$ods"/></source>
<response><identifier value="$message"/><code value="$result"/><details><reference value="urn:uuid:$outcome"/></details></response></MessageHeader></resource></entry>
<entry><fullUrl value="urn:uuid:$org"/><resource><Organization><id value="$org"/><identifier><system value="https://fhir.nhs.uk/Id/ods-organization-code"/><value value="$ods"/></identifier></Organization></resource></entry>
<entry><fullUrl value="urn:uuid:$outcome"/><resource><OperationOutcome><id value="$outcome"/><issue><severity value="$severity"/><code value="$kind"/><details><coding><system value="https://fhir.nhs.uk/STU3/CodeSystem/ITK-ResponseCodes-1"/><code value="$code"/></coding></details></issue></OperationOutcome></resource></entry></Bundle>
`

// refused is a requirement that a message breaks.
type refused struct{ code, why string }

// Error says which.
func (r refused) Error() string { return r.code + ": " + r.why }
