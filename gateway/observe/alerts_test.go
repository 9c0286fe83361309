package observe

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestAlertRules: Prometheus takes the shipped rules, each alert opens once and closes once over several replicas, and
// every metric that a rule asks for is one of ours.
func TestAlertRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("these tests need promtool (apt-get install prometheus): %v", err)
	}
	for _, args := range [][]string{{"check", "rules", "../deploy/alerts.yaml"}, {"test", "rules", "../deploy/alerts_test.yaml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
	rules, err := os.ReadFile("../deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("../deploy/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ours := names(t)
	for _, name := range regexp.MustCompile(`dermgate_[a-z_]+`).FindAllString(string(rules), -1) {
		if !slices.Contains(ours, name) {
			t.Errorf("a rule asks for %s, which there is not", name)
		}
	}
	for _, alert := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !regexp.MustCompile(`alertname: ` + alert[1] + `\n\s+exp_alerts`).Match(tests) {
			t.Errorf("no test opens %s", alert[1])
		}
	}
}

// names gives the names of all metrics.
func names(t *testing.T) (out []string) {
	t.Helper()
	m := NewMetrics()
	m.Down("epr", true)
	m.Silence("gp", time.Now(), time.Hour)
	described := make(chan *prometheus.Desc, 1000)
	m.registry.Describe(described)
	close(described)
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range described {
		out = append(out, name.FindStringSubmatch(d.String())[1])
	}
	return out
}
