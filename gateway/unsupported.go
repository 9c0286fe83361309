package main

import (
	"fmt"

	"github.com/dermgate/dermgate/gateway/config"
)

// unsupported names what the configuration language knows and this version does not do yet, each at its
// place: better no start than a setting without effect.
func unsupported(c *config.Config) config.Faults {
	var out config.Faults
	for i, s := range c.Sources {
		path := fmt.Sprintf("sources[%d]", i)
		switch s.Kind {
		case config.MESH:
			out = append(out, c.Fault(path+".kind", "sources of kind "+s.Kind+" are not taken in by this version"))
		}
	}
	return out
}
