package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSimsAreAskedForRightly(t *testing.T) {
	for line, says := range map[string]string{
		"sim":                                  "want one of token, ers",
		"sim pas":                              `"pas"`,
		"sim ers --fault call=A099,status=503": "no call",
		"sim ers --fault status":               "--fault",
		"sim ers --scan FINE":                  "a scan finds",
		"sim notify --outcome lost":            "an outcome is",
		"sim epr --control 127.0.0.1:0 --fault lose,silent=maybe": "--fault",
		"sim mesh --mailbox id=A":                                 "--mailbox",
		"sim mesh --tls-client-ca x":                              "--tls-cert",
		"sim token --client kid=k":                                "--client",
		"sim all --set ers":                                       "NAME.FLAG=VALUE",
		"sim all --set ers.colour=red":                            "ers.colour",
	} {
		var out, errs bytes.Buffer
		args := strings.Fields(line)
		if len(args) > 1 && args[1] != "all" && args[1] != "pas" {
			args = append(args, "--listen", "127.0.0.1:0")
		}
		if code := run(context.Background(), args, stdio{nil, &out, &errs}); code != 2 || !strings.Contains(errs.String(), says) {
			t.Errorf("%s: %d %s", line, code, errs.String())
		}
	}
}

func TestEverySimSaysWhatItDoesNotCheck(t *testing.T) {
	for _, make := range simulators {
		s := make()
		var out bytes.Buffer
		if code := run(context.Background(), []string{"sim", s.name, "--help"}, stdio{nil, &out, &out}); code != 0 || !strings.Contains(out.String(), "It does not check: ") ||
			!strings.Contains(out.String(), "Examples:") || !strings.Contains(out.String(), s.listen) {
			t.Errorf("%s: %d %s", s.name, code, out.String())
		}
	}
}

// TestSimAll starts every simulator, reads where each is, meets a fault that was asked for, and ends.
func TestSimAll(t *testing.T) {
	args := []string{"sim", "all", "--json", "--set", "ers.fault=call=A004,status=503", "--set", "ers.token=ours"}
	for _, make := range simulators {
		s := make()
		args = append(args, "--set", s.name+".listen=127.0.0.1:0")
		if s.name == "epr" || s.name == "gp" {
			args = append(args, "--set", s.name+".control=127.0.0.1:0")
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	said := make(chan simRunning)
	done := make(chan int, 1)
	var log bytes.Buffer
	go func() {
		done <- run(ctx, args, stdio{nil, startedInto{said}, &log})
		close(said)
	}()
	at := map[string]simRunning{}
	for range simulators {
		r, ok := <-said
		if !ok {
			t.Fatalf("ended: %d %s", <-done, log.String())
		}
		at[r.Name] = r
	}
	for _, want := range []int{503, 200} {
		req, err := http.NewRequest("GET", at["ers"].Base+"/STU3/CodeSystem/PRIORITY", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer ours"}, "Nhsd-End-User-Organisation-Ods": {"Y06601"}, "Nhsd-Ers-Business-Function": {"REFERRING_CLINICIAN"}}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("%d, want %d", resp.StatusCode, want)
		}
	}
	for name, r := range at {
		resp, err := http.Get(r.Control)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != 200 {
			t.Errorf("%s: its control API answers %d", name, resp.StatusCode)
		}
	}
	stop()
	if code := <-done; code != 0 || !strings.Contains(log.String(), "A004") {
		t.Errorf("ended with %d: %s", code, log.String())
	}
}

// startedInto hands on what is printed of each simulator.
type startedInto struct{ to chan simRunning }

func (s startedInto) Write(b []byte) (int, error) {
	var r simRunning
	if err := json.Unmarshal(b, &r); err != nil {
		return 0, err
	}
	s.to <- r
	return len(b), nil
}
