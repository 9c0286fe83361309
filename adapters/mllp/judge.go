package mllp

import (
	"slices"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// judge makes an outcome of an acknowledgement: MSA-1 and MSA-2 both count. code is MSA-1, empty for what
// does not answer the message key: the connection is out of step then.
func (c *Client) judge(key string, ack []byte) (out flow.Outcome, code string) {
	a, err := hl7.ParseAck(ack)
	switch {
	case err != nil:
		return retry("the acknowledgement cannot be read"), ""
	case a.ControlID != key:
		return retry("the acknowledgement is for another message"), ""
	}
	switch result := flow.ByAck(a.Code, kinds(a)...); {
	case result == flow.Delivered:
		return flow.Outcome{Result: result, Replies: c.replies(ack)}, a.Code
	case slices.Contains([]string{"AE", "CE", "AR", "CR"}, a.Code):
		return flow.Outcome{Result: result, Cause: cause(a)}, a.Code
	}
	return retry("the acknowledgement has an unknown code"), ""
}

func retry(text string) flow.Outcome {
	return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Unavailable, "MSA", text)}
}

// kinds gives what the errors of an acknowledgement are, without its warnings.
func kinds(a hl7.Answer) (out []issue.Kind) {
	for _, e := range a.Errors {
		if e.Severity != "W" && e.Severity != "I" {
			out = append(out, kindOf(e.Code))
		}
	}
	return out
}

// kindOf reads HL7 table 0357. 206, 207, what the table does not know and no code at all may pass.
func kindOf(code string) issue.Kind {
	switch code {
	case "100":
		return issue.Structure
	case "101":
		return issue.Required
	case "102":
		return issue.Value
	case "103":
		return issue.Code
	case "104":
		return issue.TooLong
	case "200":
		return issue.UnsupportedType
	case "201":
		return issue.UnsupportedEvent
	case "202":
		return issue.UnsupportedProcessing
	case "203":
		return issue.UnsupportedVersion
	case "204":
		return issue.NotFound
	case "205":
		return issue.Conflict
	}
	return issue.Unavailable
}

// cause tells what the receiver said: its codes and the place, not its words, which may quote the message.
func cause(a hl7.Answer) *issue.Issue {
	i := issue.New(issue.Unavailable, "", "the receiver answered "+a.Code)
	if a.Code == "AE" || a.Code == "CE" {
		i.Kind = issue.Value
	}
	for _, e := range a.Errors {
		if e.Severity == "W" || e.Severity == "I" {
			continue
		}
		if k := kindOf(e.Code); k != issue.Unavailable {
			i.Kind = k
			i.Text += ", error " + e.Code
		}
		i.Where = e.Where.String()
		break
	}
	return i
}

// replies gives an application answer that came as the acknowledgement, such as RRI^I12 for REF^I12, to be
// accepted as a message of its own; a plain ACK says nothing more.
func (c *Client) replies(ack []byte) []flow.Received {
	m, err := hl7.Parse(ack)
	if err != nil {
		return nil
	}
	if code, _, _ := m.Type(); code == "ACK" || code == "MCF" || code == "" {
		return nil
	}
	return c.received(ack)
}

// received makes a message of its own of what came back.
func (c *Client) received(answer []byte) []flow.Received {
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	return []flow.Received{{Source: c.Name, At: now(), Format: flow.HL7v2, Raw: answer}}
}
