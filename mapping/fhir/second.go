package fhir

import "github.com/dermgate/dermgate/mapping/issue"

// Judge asks google/fhir for its opinion of a resource that was read with NoJudge: for callers that
// Validate first, since our own places say more.
func Judge(root Element) issue.List { return judge(root, defaultNesting) }
