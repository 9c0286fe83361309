package flow_test

import (
	"testing"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/gateway/flow"
)

func TestLocalGate(t *testing.T) {
	adaptertest.Gate(t, func(*testing.T) (a, b flow.Gate) { g := &flow.LocalGate{}; return g, g })
}
