//go:build race

package flow

const traces = 400
