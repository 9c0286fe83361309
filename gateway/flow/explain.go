package flow

import (
	"context"
	"fmt"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Explanation tells where the elements of a translation come from, and which set of maps made it.
type Explanation struct {
	*mapping.Trace
	Maps string `json:"maps"`      // digest of today's set, which the trace is of
	Kept string `json:"maps_kept"` // of the one that the message was kept with: when it is another, so may its Bundle have been
}

// Explain translates a kept HL7 v2 message again, by today's maps, and says where each element comes from and
// what was left.
func (p *Pipeline) Explain(ctx context.Context, m Message) (*Explanation, error) {
	if m.Format != HL7v2 {
		return nil, issue.New(issue.UnsupportedType, "message", "only HL7 v2 messages are mapped, and can be explained")
	}
	raw, err := p.readAll(ctx, m.Raw)
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	rules := p.Sources[m.Source]
	parsed, err := hl7.ParseIn(raw, rules.Charset)
	if err != nil {
		return nil, err
	}
	set := p.Maps()
	res, err := set.ToFHIR(parsed, mapping.Options{Source: m.Source, Charset: rules.Charset, Zone: p.Site.Zone, Kind: rules.Kind,
		Urgency: rules.Urgency, Limits: rules.Limits, Trace: true, Payloads: p.payloads(ctx, m.Lifted)})
	if err != nil {
		return nil, err
	}
	return &Explanation{res.Trace, set.Digest(), m.Maps}, nil
}
