package flow

import (
	"context"
	"errors"
	"fmt"

	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// acceptBatch takes several messages in, each for itself and in their order: what one is refused for keeps
// none of the others out. Only a faulty envelope refuses them all, since a message may be missing. An error
// means that nothing was kept; what cannot be kept after something was is answered with AR, and the batch,
// sent again, repeats the kept ones and goes on with the rest.
func (p *Pipeline) acceptBatch(ctx context.Context, r Received, rules SourceRules) (Receipt, error) {
	batch := hl7.Split(r.Raw, rules.Charset)
	take := p.acceptEach
	if batch.Issues.Worst() != nil {
		take = p.refuseBatch
	}
	sum, err := take(ctx, r, rules, batch)
	each := !rules.BatchAnswer
	if len(batch.Messages) == 0 {
		each = sum.Refused // else there is no message to answer
	}
	if err != nil || each {
		return sum, err
	}
	ack := batch.Acknowledge(hl7.BatchAck{ControlID: batchAnswerID(r), At: r.At, Answers: sum.Answers})
	sum.Answers = [][]byte{ack}
	return sum, nil
}

// batchAnswerID is the control id of a batch acknowledgement: the same for the same bytes.
func batchAnswerID(r Received) string { return "B" + r.digest()[:19] }

// acceptEach accepts the messages one after another.
func (p *Pipeline) acceptEach(ctx context.Context, r Received, rules SourceRules, batch *hl7.Batch) (Receipt, error) {
	sum := Receipt{Type: "application/hl7-v2", Repeat: len(batch.Messages) > 0}
	for i, raw := range batch.Messages {
		receipt, err := p.acceptWithin(ctx, r.within(raw), rules)
		switch {
		case err != nil && i == 0:
			return Receipt{}, err
		case err != nil:
			left := batch.Messages[i:]
			p.alarm("batch-not-kept", fmt.Sprintf("source %s: %d of the %d messages of a batch were not kept", r.Source, len(left), len(batch.Messages)))
			return sum.unkept(r, rules, left, err), nil
		}
		sum.add(receipt)
	}
	return sum, nil
}

// acceptWithin accepts one message of a batch, which was hashed as one.
func (p *Pipeline) acceptWithin(ctx context.Context, r Received, rules SourceRules) (Receipt, error) {
	if err := r.measure(); err != nil {
		return Receipt{}, fmt.Errorf("accept: %w: %w", ErrUnavailable, err)
	}
	return p.acceptOne(ctx, r, rules)
}

// add takes the receipt of one message into that of its batch, which is refused when any message is and a
// repeat when all are.
func (sum *Receipt) add(one Receipt) {
	sum.Answers = append(sum.Answers, one.Answer)
	sum.Repeat = sum.Repeat && one.Repeat
	if one.Refused && !sum.Refused {
		sum.Refused, sum.Kind = true, one.Kind
	}
}

// unkept answers the messages that could not be kept any more.
func (sum Receipt) unkept(r Received, rules SourceRules, left [][]byte, cause error) Receipt {
	trouble := issue.New(issue.Internal, "", "internal error, the message was not kept: send it again")
	if errors.Is(cause, ErrUnavailable) {
		trouble = issue.New(issue.Unavailable, "", "cannot keep messages now: send it again")
	}
	sum.Unkept = true
	for _, raw := range left {
		t := Translated{Received: r.within(raw)}
		t.identify(rules)
		t.Issues = issue.List{trouble}
		sum.add(Receipt{Answer: acknowledge(t, r.At), Refused: true, Kind: trouble.Kind})
	}
	return sum
}

// refuseBatch refuses every message for the faults of the envelope, and the envelope itself when it holds
// none. Nothing becomes work.
func (p *Pipeline) refuseBatch(ctx context.Context, r Received, rules SourceRules, batch *hl7.Batch) (Receipt, error) {
	faults := batch.Issues[:0:0]
	for _, i := range batch.Issues {
		if i.Severity == issue.Error {
			faults = append(faults, i)
		}
	}
	sum := Receipt{Type: "application/hl7-v2"}
	for _, raw := range batch.Messages {
		t := Translated{Received: r.within(raw)}
		t.identify(rules)
		t.Facts.Source, t.Issues = r.Source, faults
		receipt, err := p.refuse(ctx, t)
		if err != nil {
			return Receipt{}, err
		}
		sum.add(receipt)
	}
	if len(batch.Messages) > 0 {
		return sum, nil
	}
	t := Translated{Received: r, Issues: faults, envelope: batch}
	receipt, err := p.refuse(ctx, t)
	if err != nil {
		return Receipt{}, err
	}
	sum.add(receipt)
	return sum, nil
}
