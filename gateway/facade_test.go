package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// What has become of a request is told in valid FHIR to the organisation that was asked, and to no other.
func TestWhatHasBecomeOfARequest(t *testing.T) {
	ctx, w := running(t)
	if err := w.sendHL7(ctx, &teller{out: io.Discard}, "suspected-cancer.hl7"); err != nil {
		t.Fatal(err)
	}
	base := "http://" + w.app.public.Addr().String() + "/fhir"
	for typ, want := range map[string]int{"ServiceRequest": 1, "Task": 1, "Media": 2, "Communication": 0} {
		bundle := search(t, base, typ, url.Values{"identifier": {"urn:id:EMIS|REFUSC0001"}})
		if n := bundle.Root.Child("total").Text(); n != fmt.Sprint(want) {
			t.Errorf("%s: %s found, want %d", typ, n, want)
		}
		for r := range bundle.Resources() {
			if body, code := get(t, base+"/"+typ+"/"+r.Child("id").Text()); code != http.StatusOK || !strings.Contains(body, `"`+typ+`"`) {
				t.Errorf("reading the %s that was found: %d", typ, code)
			}
		}
	}
	if n := search(t, base, "Task", url.Values{"patient": {fhir.SystemNHSNumber + "|9990001022"}}).Root.Child("total").Text(); n != "1" {
		t.Errorf("by patient: %s found", n)
	}
	if _, code := get(t, base+"/Task?patient=9990001022"); code != http.StatusBadRequest {
		t.Errorf("a search whose URL names a patient: %d", code)
	}
	c := onlyCase(t, ctx, w)
	if body, code := get(t, base+"/Binary/"+c.Photos[0].SHA256); code != http.StatusOK || !strings.HasPrefix(body, "\xff\xd8\xff") {
		t.Errorf("the photo: %d", code)
	}
	stranger := flow.Subject{Organisation: "RZZ99", Name: "stranger"}
	facade := &flow.Facade{P: w.app.pipeline}
	if b, err := facade.Search(ctx, stranger, "Task", url.Values{"identifier": {"urn:id:EMIS|REFUSC0001"}}); err != nil || !strings.Contains(string(b), `"total":0`) {
		t.Errorf("another organisation sees %s (%v)", b, err)
	}
	if _, err := facade.Read(ctx, stranger, "Media", strings.TrimPrefix(c.Photos[0].Media, "urn:uuid:")); err == nil {
		t.Error("another organisation reads a Media")
	}
	if _, _, err := facade.Binary(ctx, stranger, c.Photos[0].SHA256); err == nil {
		t.Error("another organisation reads a photo")
	}
	if w.app.audit.Head().Seq < 6 {
		t.Errorf("%d lines in the audit log: every reading stands in it", w.app.audit.Head().Seq)
	}
}

func onlyCase(t *testing.T, ctx context.Context, w *world) (c pathway.Case) {
	t.Helper()
	records, err := w.app.store.Cases(ctx, flow.CaseQuery{})
	if err != nil || len(records) != 1 {
		t.Fatalf("%d cases, %v", len(records), err)
	}
	if err := json.Unmarshal(records[0].State, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t *testing.T, address string) (string, int) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), resp.StatusCode
}

// search posts a search and wants a valid Bundle.
func search(t *testing.T, base, typ string, params url.Values) *fhir.Bundle {
	t.Helper()
	resp, err := http.PostForm(base+"/"+typ+"/_search", params)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", typ, resp.Status, body)
	}
	root, issues := fhir.Read(body, fhir.ReadOptions{})
	if issues.Worst() != nil {
		t.Fatalf("%s: %v\n%s", typ, issues, body)
	}
	if l := fhir.Validate(root); l.Worst() != nil {
		t.Errorf("%s: %v", typ, l)
	}
	return &fhir.Bundle{Root: root}
}
