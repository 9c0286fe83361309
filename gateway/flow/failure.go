package flow

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// The failure policy. What an attempt came to is one of the Results; these tables say which, for every destination:
//
//	Retry    it may pass: again after Backoff, longer where the other side asked for it, in the lane's order
//	Refused  it will not pass: parked at once, with the cause
//	Held     it takes this from a user alone who has signed in: parked until one does
//	Unknown  sent, no answer, and sent again it would be done twice: read where an id is known (the adapter does), else
//	         parked for a person to resolve
//
// The Dispatcher acts on them, and nothing else decides when a delivery is tried again or given to a person.

// internalTries is how often an attempt may fail by a fault of our own before a person sees it.
const internalTries = 5

// ByKind says what a trouble of a kind means for the attempt that it ended.
func ByKind(k issue.Kind) Result {
	switch k {
	case issue.Unavailable, issue.Conflict: // what is locked or has moved is read again
		return Retry
	case issue.Internal: // bounded: see internalTries
		return Retry
	case issue.Duplicate: // it is there
		return Delivered
	}
	return Refused
}

// ByStatus says what an HTTP status means. again tells whether the call may be made again without being done twice: it
// reads, is guarded by a version, or carries an idempotency key. A 2xx is delivered only if its body says so too.
func ByStatus(status int, again bool) Result {
	switch status {
	case http.StatusUnauthorized, // the sign-in is at fault, for every message alike: none is given up for it
		http.StatusConflict, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return Retry
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return Refused
	}
	switch {
	case status >= 200 && status < 300:
		return Delivered
	case status == http.StatusRequestTimeout || status >= 500:
		return NoAnswer(again)
	}
	return Refused
}

// NoAnswer says what it means when a request had left and nothing came back.
func NoAnswer(again bool) Result {
	if again {
		return Retry
	}
	return Unknown
}

// NoToken says what it means that there is no token for a call: a user must sign in, or it is tried again, since no message
// is to blame. What is wrong is told as whoever gets the token says it.
func NoToken(where string, err error) Outcome {
	var trouble *issue.Issue
	if !errors.As(err, &trouble) {
		trouble = issue.New(issue.Unavailable, where, "no token").Because(err)
	}
	if trouble.Where == ForUser {
		return Outcome{Result: Held, Cause: trouble}
	}
	return Outcome{Result: Retry, Cause: trouble}
}

// ByAck says what an HL7 v2 acknowledgement means (MSA-1, and the kinds of its errors by table 0357): a rejection passes
// unless an error of the message's own stands in it. An unknown code is no answer.
func ByAck(code string, errs ...issue.Kind) Result {
	switch code {
	case "AA", "CA":
		return Delivered
	case "AE", "CE":
		return Refused
	case "AR", "CR":
		for _, k := range errs {
			if k != issue.Unavailable {
				return Refused
			}
		}
	}
	return Retry
}

// RetryAfter reads how long a server asks to be left alone, in seconds or as a date (RFC 9110 §10.2.3); 0 when it does
// not say.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil {
		return max(0, time.Duration(n)*time.Second)
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// judged gives an error of a destination its outcome. The store's troubles, and the end of the lease or of the process,
// are none: the attempt is then abandoned, and made again when the lease is over.
func judged(del Delivery, o Outcome, err error) (Outcome, error) {
	var trouble *issue.Issue
	switch {
	case err == nil || transient(err) || errors.Is(err, ErrLease) || errors.Is(err, errStopping):
		return o, err
	case !errors.As(err, &trouble):
		trouble = issue.New(issue.Internal, "", "a fault of the gateway's own").Because(err)
	}
	o = Outcome{Result: ByKind(trouble.Kind), Cause: trouble, Untried: true}
	if trouble.Kind == issue.Internal && del.Attempt >= internalTries {
		o.Result = Refused
	}
	return o, nil
}
