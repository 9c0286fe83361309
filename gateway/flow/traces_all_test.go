//go:build !race

package flow

const traces = 10_000
