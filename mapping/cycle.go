package mapping

import "strings"

// cycles reports data type maps that ask for themselves, over others or directly: what they would make has no end. No
// HL7 data type holds itself, and a reference of a hostile Bundle may lead back to where it came from.
func (c *compiler) cycles() {
	done := map[string]bool{}
	for _, name := range keys(c.sources) {
		c.follow(c.sources[name], nil, done)
	}
}

// follow goes down from a map that those of a way have asked for.
func (c *compiler) follow(s *source, way []string, done map[string]bool) {
	if s == nil || done[s.name.s] || s.to == "" {
		return
	}
	way = append(way, s.name.s)
	for _, r := range s.rules {
		for i, name := range way {
			if name == r.how.s {
				c.faults.add(r.how.at, "%s asks for itself and would never end: %s", name, strings.Join(append(way[i:len(way):len(way)], name), " → "))
				return
			}
		}
		c.follow(c.sources[r.how.s], way, done)
	}
	done[s.name.s] = true
}
