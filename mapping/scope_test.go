package mapping_test

import (
	"slices"
	"testing"
)

// TestConditionSeesTheRepetitionItsRuleReads: a map about one repetition of OBX-5 has rules on other fields;
// the scope stands on their field while their condition is looked at, so OBX-5 there is its first
// repetition, and a second that gave nothing is not counted as carried over.
func TestConditionSeesTheRepetitionItsRuleReads(t *testing.T) {
	text := byReference + "\nOBX|7|NM|8867-4^Heart rate^LN||60~120&\"\"|beats/min||||||F"
	res := translate(t, message(t, text), options(t))
	var left []string
	for _, p := range res.Unmapped {
		left = append(left, p.String())
	}
	if !slices.Contains(left, "OBX[7]-5[2].1.1") || slices.Contains(left, "OBX[7]-5[1].1") {
		t.Errorf("left over: %v", left)
	}
}
