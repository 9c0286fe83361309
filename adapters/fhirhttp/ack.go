package fhirhttp

import (
	"encoding/json"
	"strings"

	"github.com/dermgate/dermgate/gateway/flow"
)

// outcome is the part of an OperationOutcome that is read.
type outcome struct {
	ResourceType string         `json:"resourceType"`
	Issue        []outcomeIssue `json:"issue"`
}

type outcomeIssue struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Details  struct {
		Coding []struct {
			Code string `json:"code"`
		} `json:"coding"`
	} `json:"details"`
}

// ack is what is read of a response: enough to know whether the message was taken, and by which ids.
type ack struct {
	outcome
	Type  string `json:"type"`
	Entry []struct {
		Resource struct {
			outcome
			Identifier json.RawMessage `json:"identifier"`
			Event      struct {
				Code string `json:"code"`
			} `json:"eventCoding"`
			Response struct {
				Code string `json:"code"`
			} `json:"response"`
		} `json:"resource"`
		Response struct { // of a transaction
			Status  string  `json:"status"`
			Outcome outcome `json:"outcome"`
		} `json:"response"`
	} `json:"entry"`
}

// readAck reads a response; the zero ack when it is no JSON.
func readAck(body []byte) ack {
	var a ack
	if json.Unmarshal(body, &a) != nil {
		return ack{}
	}
	return a
}

// issues gives those of the response itself and of an OperationOutcome in its Bundle.
func (a ack) issues() []outcomeIssue {
	all := a.Issue
	for _, e := range a.Entry {
		all = append(all, e.Resource.Issue...)
		all = append(all, e.Response.Outcome.Issue...)
	}
	return all
}

func (a ack) has(code string) bool {
	for _, i := range a.issues() {
		if i.Code == code {
			return true
		}
	}
	return false
}

func (a ack) fatal() bool {
	for _, i := range a.issues() {
		if i.Severity == "error" || i.Severity == "fatal" {
			return true
		}
	}
	return false
}

func (a ack) responseCode() string {
	for _, e := range a.Entry {
		if e.Resource.ResourceType == "MessageHeader" {
			return e.Resource.Response.Code
		}
	}
	return ""
}

// answers tells a response that is already the specialist's answer, not only an acknowledgement.
func (a ack) answers() bool {
	header, content := false, false
	for _, e := range a.Entry {
		switch e.Resource.ResourceType {
		case "MessageHeader":
			header = e.Resource.Event.Code == "servicerequest-response"
		case "Task", "Communication":
			content = true
		}
	}
	return a.Type == "message" && header && content
}

// refs gives the identifiers the receiver has given the request.
func (a ack) refs() []flow.Ref {
	var out []flow.Ref
	for _, e := range a.Entry {
		var ids []struct{ System, Value string }
		if e.Resource.ResourceType != "ServiceRequest" || json.Unmarshal(e.Resource.Identifier, &ids) != nil {
			continue
		}
		for _, id := range ids {
			if id.Value != "" && id.System != "" {
				out = append(out, flow.Ref{System: id.System, Value: id.Value})
			}
		}
	}
	return out
}

// codes lists the codes of the issues, each once: codes are safe to show when they look like codes.
func (a ack) codes() string {
	var out []string
	seen := map[string]bool{}
	add := func(c string) {
		if c != "" && len(c) <= 64 && !seen[c] && strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == "" {
			seen[c] = true
			out = append(out, c)
		}
	}
	for _, i := range a.issues() {
		for _, c := range i.Details.Coding {
			add(c.Code)
		}
		add(i.Code)
	}
	return strings.Join(out, ", ")
}
