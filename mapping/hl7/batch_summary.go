package hl7

// Summary is what a batch says of itself, as `gateway hl7 --json` prints it.
type Summary struct {
	File    *EnvelopeSummary  `json:"file,omitempty"` // absent without FHS
	Batches []EnvelopeSummary `json:"batches"`        // one that stands in no BHS has no control id
}

// EnvelopeSummary is one header and trailer.
type EnvelopeSummary struct {
	ControlID string `json:"control_id"`          // BHS-11 or FHS-11
	Reference string `json:"reference,omitempty"` // BHS-12 or FHS-12: the batch or file that this one answers
	Count     int    `json:"count"`               // messages, or batches
	Stated    string `json:"stated,omitempty"`    // BTS-1 or FTS-1
}

// Summary tells what the envelope says.
func (b *Batch) Summary() Summary {
	out := Summary{Batches: []EnvelopeSummary{}}
	if b.file.headed {
		f := b.file.summary()
		f.Count = len(b.batches)
		out.File = &f
	}
	for i := range b.batches {
		out.Batches = append(out.Batches, b.batches[i].summary())
	}
	return out
}

func (e *envelope) summary() EnvelopeSummary {
	out := EnvelopeSummary{Count: e.count, Stated: e.stated}
	if e.head != nil {
		out.ControlID, out.Reference = e.head.Segment(0).Field(11).Text(), e.head.Segment(0).Field(12).Text()
	}
	return out
}
