package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheManualHasEveryKey: docs/configuration.md has a row for every key that the decoder knows, and none for what it does
// not know.
func TestTheManualHasEveryKey(t *testing.T) {
	known := map[string]bool{}
	index := regexp.MustCompile(`\[\d+\]`)
	for _, text := range []string{full(t), "store: {embedded: {path: x}}\nphotos: {cache: {}}\n",
		"store: {redis: {sentinel: {}, cluster: [], tls: {}}}\n"} {
		d := &decoder{file: "gateway.yaml", env: environment, at: map[string]position{}, files: map[string]string{}, known: func(path string) {
			path = index.ReplaceAllString(path, "[]")
			if rest, ok := strings.CutPrefix(path, "admin."); ok && rest != "listen" {
				path = "http." + rest // a listener like the other
			}
			known[path] = true
		}}
		if n, ok := d.root([]byte(text)); ok {
			d.config(n, defaults("data"))
		}
	}
	if known["alarms.sender_silent"] {
		delete(known, "alarms.sender_silent")
		known["alarms.sender_silent.NAME"] = true // the site's own names
	}
	if known["destinations[].mailboxes"] {
		delete(known, "destinations[].mailboxes")
		delete(known, "destinations[].mailboxes.Y06601")
		known["destinations[].mailboxes.ODS"] = true // the site's own practices
	}
	if len(known) < 150 {
		t.Fatalf("%d keys", len(known))
	}
	manual, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(manual), "\n## Every key of gateway.yaml\n")
	if !found {
		t.Fatal("the manual has no such section")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	var told []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(table, -1) {
		for _, path := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			told = append(told, path[1])
		}
	}
	for path := range known {
		if plain := strings.TrimSuffix(path, "_file"); !slices.Contains(told, path) && !(known[plain] && slices.Contains(told, plain)) && !parentOf(path, known) {
			t.Errorf("the manual does not tell of %s", path)
		}
	}
	for _, path := range told {
		if !known[path] {
			t.Errorf("the manual tells of %s, which there is not", path)
		}
	}
}

// parentOf tells a key that only holds others, which have rows of their own.
func parentOf(path string, known map[string]bool) bool {
	for other := range known {
		if strings.HasPrefix(other, path+".") || strings.HasPrefix(other, path+"[].") {
			return true
		}
	}
	return false
}
