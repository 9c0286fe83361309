package adaptertest

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping"
)

// BenchPut measures Put of a small request with one delivery from 16 goroutines: what a store does between
// a message and its acknowledgement.
func BenchPut(b *testing.B, s flow.Store) {
	var n atomic.Int64
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0))) // so many a processor
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Put(b.Context(), Request(fmt.Sprint("bench ", n.Add(1)), "epr")); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
}

// Referral makes the change that a small referral (1.5 KB of HL7 v2) becomes in the pipeline, with one delivery to a
// destination and the clock of its case: as long, and with as many references, as the real one.
func Referral(n int, to string) flow.Change {
	name := fmt.Sprintf("C%07d", n)
	c := Request(name, to)
	at := start.Add(time.Duration(n) * 1234567 * time.Microsecond)
	text := func(head string) []byte {
		t := head + "|" + name + "|P|2.4|||AL|NE|GBR|UNICODE UTF-8\rRF1|P|R^Routine|DERM^Dermatology|||P" + name + "^EMIS|20261124101500\r" +
			"PRD|RP|Okafor^Ngozi^^^Dr|||||G5612908^GMP|||LAMBETH ROAD SURGERY^^Y06601\rPID|1||9990001014^^^NHS^NH||Testcase^Rosalind^^^Ms||19680412|2\r"
		for i := 1; len(t) < 1450; i++ {
			t += fmt.Sprintf("OBX|%d|FT|HISTORY^History^L||Present for some weeks, itches at night, no bleeding||||||F\r", i)
		}
		return []byte(t)
	}
	m := c.Message
	m.At, m.Maps, m.Issues = at, sum("maps"), nil
	m.Raw.Inline = text(`MSH|^~\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||REF^I12^REF_I12`)
	m.Raw.SHA256, m.Raw.Size, m.Leaves = m.Idem.Digest, int64(len(m.Raw.Inline)), &mapping.Count{Valued: 137, Mapped: 114, Ignored: 23}
	m.Facts = fmt.Appendf(nil, `{"source":"gp","message":"REF_I12","event":"requested","controlId":%q,"kind":"referral","urgency":"ROUTINE","organisation":"Y06601","performer":"RXX01","requester":"G5612908","placer":"P%s","refs":[{"system":"urn:id:EMIS","value":"P%s"}],"photos":0}`, name, name, name)
	m.Receipt.Answer = []byte(`MSH|^~\&|DERMGATE|RXX01|EMIS|Y06601|20261201140906+0000||ACK^I12^ACK|A` + sum(name)[:20] + "|P|2.4||||||UNICODE UTF-8\rMSA|AA|" + name + "\r")
	id := c.Case.Record.ID.String()
	c.Case.Record.Index.Opened, c.Case.Record.Index.Changed = at, at
	c.Case.Record.Index.Patient = sum("patient " + name)[:32]
	c.Case.Record.State = fmt.Appendf(nil, `{"id":%q,"kind":"referral","state":"SUBMITTED","urgency":"ROUTINE","opened":%q,"entered":%q,"moves":1,"request":{"message":%q,"source":"gp","controlId":%q,"placer":"P%s","organisation":"Y06601","performer":"RXX01","requester":"G5612908","patient":%q},"serviceRequest":"active","taskStatus":"requested"}`,
		id, at.Format(time.RFC3339Nano), at.Format(time.RFC3339Nano), m.ID, name, name, c.Case.Record.Index.Patient)
	c.Case.Story = []flow.Event{{At: at, What: "received", Text: "REF_I12 from gp, 0 attachments", Ref: m.ID.String()},
		{At: at, What: "state", Text: "DRAFT → SUBMITTED (RA03, sign-and-send)"}, {At: at, What: "queued", Text: "referral for " + to}}
	for _, kind := range []string{"Task", "ServiceRequest", "Provenance", "DocumentReference"} {
		c.Refs = append(c.Refs, flow.Ref{System: "fhir", Value: kind + "/" + flow.NewID(1, kind, name).String()})
	}
	c.Refs = append(c.Refs, flow.Ref{System: "urn:id:EMIS", Value: "P" + name}, flow.Ref{System: "control-id:gp", Value: name}, flow.Ref{System: "case", Value: id})
	d := &c.Deliveries[0]
	d.Message, d.Key, d.What, d.Maps, d.Parts, d.Created, d.Due = m.ID, "DG"+sum(name)[:18], "referral", m.Maps, nil, at, at
	d.Body = flow.BodyRef{Inline: append(text(`MSH|^~\&|DERMGATE|RXX01|||20261201140906+0000||REF^I12^REF_I12`), "OBR|1||"+id+"^DERMGATE\r"...), SHA256: sum("out " + name), Type: "application/hl7-v2"}
	d.Body.Size = int64(len(d.Body.Inline))
	clock := flow.NewID(c.Partition(), "clock", name)
	c.Deliveries = append(c.Deliveries, flow.Delivery{ID: clock, Case: d.Case, Message: m.ID, To: flow.ToClock, Lane: clock.String(), Class: flow.ClassRoutine,
		Key: clock.String(), What: "clock", Note: `{"state":"SUBMITTED","move":1}`, State: flow.Waiting, Created: at, Due: at.Add(59 * 24 * time.Hour)})
	return c
}

// Backlog is how many deliveries wait in BenchBacklog: BACKLOG of the environment, else 5,000.
func Backlog() int {
	if n, err := strconv.Atoi(strings.ReplaceAll(os.Getenv("BACKLOG"), ",", "")); err == nil {
		return n
	}
	return 5000
}

// BenchBacklog measures a claim of the one due delivery of a destination in an empty store, and again when a backlog waits
// for another, and for that one itself; then what opening takes. filled is told when it has filled the store.
func BenchBacklog(b *testing.B, s flow.Store, filled func(n int), reopen func() flow.Store) {
	const measured = 200
	claims := func(to string) time.Duration {
		least := time.Hour
		for range 5 { // the best of several: the machine does other things too
			begun := time.Now()
			for range measured / 5 {
				ds, err := s.Claim(b.Context(), to, 1, time.Hour)
				if err != nil || len(ds) != 1 {
					b.Fatalf("claimed %d, %v", len(ds), err)
				}
			}
			least = min(least, time.Since(begun)*5/measured)
		}
		return least
	}
	fill(b, s, -measured, 0, "empty")
	before := claims("empty")
	n := Backlog()
	fill(b, s, 0, n, "sink")
	filled(n)
	fill(b, s, n, n+measured, "other")
	b.ReportMetric(float64(claims("other"))/float64(before), "claim-beside/empty")
	b.ReportMetric(float64(claims("sink"))/float64(before), "claim-of/empty")
	begun := time.Now()
	s = reopen()
	b.ReportMetric(time.Since(begun).Seconds(), "s-to-open")
	b.ReportMetric(float64(claims("sink"))/float64(before), "claim-after-open/empty")
	begun = time.Now()
	if ds, err := s.Deliveries(b.Context(), flow.DeliveryQuery{To: "none", State: flow.Waiting, Limit: 1}); err != nil || len(ds) != 0 {
		b.Fatal(ds, err)
	}
	b.ReportMetric(float64(time.Since(begun).Microseconds())/1000, "ms-to-list-none")
}

func fill(b *testing.B, s flow.Store, from, to int, dest string) {
	var n atomic.Int64
	n.Store(int64(from))
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := int(n.Add(1)); i <= to; i = int(n.Add(1)) {
				if _, err := s.Put(b.Context(), Referral(i, dest)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
