package sim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Reporting is how the fate of messages is told.
type Reporting struct {
	Outcome      string `json:"outcome"`      // how messages end: "delivered" (default), "failed", "skipped" (the NHS App was, and so the message failed), or "silent": nothing after "sending"
	Twice        bool   `json:"twice"`        // send every report twice, the last ones first: the service promises neither order nor singularity
	Reversed     bool   `json:"reversed"`     // send the last report first
	BadSignature bool   `json:"badSignature"` // sign with another secret
	BadKey       bool   `json:"badKey"`       // send another API key
}

// check tells an outcome that there is not.
func (r Reporting) check() error {
	if !slices.Contains([]string{"", "delivered", "failed", "skipped", "silent"}, r.Outcome) {
		return errors.New("sim: an outcome is delivered, failed, skipped or silent")
	}
	return nil
}

// Report sends the status reports of a message: created, pending_enrichment, enriched, sending, the NHS
// App's, and how it ended. It gives the first that was not answered with 202.
func (n *Notify) Report(ctx context.Context, reference string) error {
	n.mu.Lock()
	how := n.Reporting
	n.mu.Unlock()
	return n.ReportAs(ctx, reference, how)
}

// ReportAs is Report in a way of its own.
func (n *Notify) ReportAs(ctx context.Context, reference string, how Reporting) error {
	if err := how.check(); err != nil {
		return err
	}
	n.mu.Lock()
	m := n.messages[reference]
	if m == nil {
		n.mu.Unlock()
		return errNothing
	}
	reports := n.reports(m, how)
	callback := n.Callback
	n.mu.Unlock()
	if callback == "" {
		return nil
	}
	for _, r := range reports {
		if err := n.call(ctx, callback, r, how); err != nil {
			return err
		}
	}
	return nil
}

// reports writes the reports in the order they are sent.
func (n *Notify) reports(m *Notice, how Reporting) []object {
	var out []object
	add := func(kind string, attributes object) {
		attributes["messageId"], attributes["messageReference"], attributes["timestamp"] = m.ID, m.Reference, n.instant()
		sum := sha256.Sum256(fmt.Append(nil, m.ID, kind, len(out)))
		out = append(out, object{"type": kind, "attributes": attributes, "links": object{"message": n.Base() + "/v1/messages/" + m.ID},
			"meta": object{"idempotencyKey": hex.EncodeToString(sum[:])}})
	}
	status := func(s string) {
		m.Status = s
		add("MessageStatus", object{"messageStatus": s, "routingPlan": n.plan(m), "channels": []any{}})
	}
	channel := func(s, supplier string) {
		m.Channel = s
		attributes := object{"channel": "nhsapp", "channelStatus": s, "cascadeType": "primary", "cascadeOrder": 1, "retryCount": 0}
		if supplier != "" {
			attributes["supplierStatus"] = supplier
		}
		add("ChannelStatus", attributes)
	}
	for _, s := range []string{"created", "pending_enrichment", "enriched", "sending"} {
		status(s)
	}
	channel("created", "accepted")
	channel("sending", "notified")
	switch how.Outcome {
	case "silent":
	case "failed":
		channel("failed", "unnotified")
		status("failed")
	case "skipped":
		channel("skipped", "")
		status("failed")
	default:
		channel("delivered", "read")
		status("delivered")
	}
	if how.Reversed {
		slices.Reverse(out)
	}
	if how.Twice {
		for _, r := range out {
			out = append([]object{r}, out...)
		}
	}
	return out
}

// call posts one report, signed.
func (n *Notify) call(ctx context.Context, to string, report object, how Reporting) error {
	body, err := json.Marshal(object{"data": []any{report}})
	if err != nil {
		return err
	}
	key, secret := n.APIKey, n.ApplicationID+"."+n.APIKey
	if how.BadKey {
		key = "not-" + key
	}
	if how.BadSignature {
		secret = "not-" + secret
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	begun := n.Now()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Minute) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", jsonAPI)
		req.Header.Set("x-api-key", key)
		req.Header.Set("x-hmac-sha256-signature", hex.EncodeToString(mac.Sum(nil)))
		resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusAccepted {
				return nil
			}
			err = fmt.Errorf("sim: the callback was answered %d", resp.StatusCode)
			if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
				return err // said of the key and the signature, which stay as they are
			}
		}
		if n.Now().Sub(begun) > 2*time.Hour {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// playing serves what becomes of messages.
func (n *Notify) playing() {
	n.act("GET /sim/messages", "the messages that were taken", func(acting) (any, error) {
		out := n.Messages()
		if out == nil {
			out = []Notice{}
		}
		return out, nil
	})
	n.act("POST /sim/messages/{reference}/report", "its reports are sent: outcome, twice, reversed, badSignature, badKey", func(a acting) (any, error) {
		var how Reporting
		if err := a.read(&how); err != nil {
			return nil, err
		}
		return nil, n.ReportAs(a.Context(), a.PathValue("reference"), how)
	})
	n.act("POST /sim/reporting", "how the messages after this one are reported, and whether at once: auto, outcome, twice, reversed, badSignature, badKey", func(a acting) (any, error) {
		var x struct {
			Auto bool
			Reporting
		}
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return nil, n.Reports(x.Auto, x.Reporting)
	})
}

// Reports sets whether messages are reported as soon as they are taken, and how.
func (n *Notify) Reports(auto bool, how Reporting) error {
	if err := how.check(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.Auto, n.Reporting = auto, how
	return nil
}
