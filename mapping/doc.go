// Package mapping translates between HL7 v2 and FHIR R4 by declarative map files: one rule a line,
// FROM -> TO: HOW, named for HL7's v2-to-FHIR guide. Load compiles the shipped maps and a site's own against
// the HL7 grammar and the FHIR schema, so that a rule that could not work is refused at file:line:col before
// any message runs; a Set then runs the same rules in both directions.
//
// Translation is pure: the same bytes and options give the same Bundle, ids included. There is no clock, no
// network and no randomness here. Nothing is lost silently: every valued leaf of a message is mapped, ignored
// for a stated reason, or listed as unmapped.
//
// # How a map runs
//
// Into FHIR, most of the work is done when maps load, so that a message meets only what may concern it:
//
//   - compile.go makes each map a program: its rules, each with its place (place.go, read in reading.go), condition (expr.go, lowered to
//     closures in lower.go), conversion (how.go, coded.go) and target (target.go). plan.go lays the rules out in
//     stretches of 64 with a mask for every field that some of them cannot do without, and for every text that their
//     conditions compare (facts.go).
//   - run.go begins a message: hl7.Pieces takes it apart once (fields, components, which are valued, where leaves
//     begin), layout.go sets its segments in relation.
//   - resources.go goes over the groups of the message map; each resource that is to be made runs its programs.
//     program.invoke (rule.go) asks the plan for the rules that are left and runs them one after another: rule.run
//     chooses how values are found, one repetition of the own segment (most), each of them, or another segment's;
//     rule.copy writes the common case, one text, rule.put (put.go) all others. A rule that names a map runs that program in a
//     scope of its own on the value.
//   - resources.go links the resources, guard.go takes out what stayed incomplete, tofhir.go declares profiles, loss.go
//     accounts for every leaf from two bitmaps: where leaves begin, and which bytes were carried over.
//
// The elements go into one fhir.Tree, an arena that is used again; texts are pieces of one copy of the message. So a
// translation allocates a handful of blocks, whatever its size. What the validator and the writer need not look at
// again is marked sound in the tree (fhir/sound.go): constants and tables are held against their elements at load, most
// conversions make nothing that is not of their type's form (how.go, proofs), and a text whose bytes are all plain
// (run.go, markOdd: found out once a message, eight bytes at a time) is a string and a JSON string as it stands. Tests hold
// all of this against a validator that sees no marks (sound_test.go, unmarked).
//
// The language is described in docs/mapping.md; the maps are in maps/.
package mapping
