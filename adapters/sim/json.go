package sim

import (
	"encoding/json"
	"maps"
	"slices"
)

// object is JSON being written.
type object = map[string]any

// at goes down into decoded JSON by names and indexes; nil where there is nothing.
func at(v any, path ...any) any {
	for _, step := range path {
		switch key := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[key]
		case int:
			l, _ := v.([]any)
			if key >= len(l) {
				return nil
			}
			v = l[key]
		}
	}
	return v
}

// text gives the string at a path, empty when there is none.
func text(v any, path ...any) string {
	s, _ := at(v, path...).(string)
	return s
}

// list gives the array at a path.
func list(v any, path ...any) []any {
	l, _ := at(v, path...).([]any)
	return l
}

// parse reads a JSON object; nil when it is none.
func parse(body []byte) object {
	var v object
	if json.Unmarshal(body, &v) != nil {
		return nil
	}
	return v
}

// coding gives the code a list of codings has in a system.
func coding(codings []any, system string) string {
	for _, c := range codings {
		if text(c, "system") == system {
			return text(c, "code")
		}
	}
	return ""
}

// identifier gives the value a list of identifiers has in a system.
func identifier(identifiers []any, system string) string {
	for _, id := range identifiers {
		if text(id, "system") == system {
			return text(id, "value")
		}
	}
	return ""
}

// validNHSNumber tells ten digits with the right check digit (Modulus 11, NHS data dictionary).
func validNHSNumber(s string) bool {
	if len(s) != 10 {
		return false
	}
	sum := 0
	for i, r := range s {
		if r < '0' || r > '9' {
			return false
		}
		if i < 9 {
			sum += int(r-'0') * (10 - i)
		}
	}
	return (11-sum%11)%11 == int(s[9]-'0')
}

// keysOf gives the keys of a map in order.
func keysOf[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
