// Package mapping translates between HL7 v2 and FHIR R4 by declarative map files: one rule a line,
// FROM -> TO: HOW, named for HL7's v2-to-FHIR guide. Load compiles the shipped maps and a site's own against
// the HL7 grammar and the FHIR schema, so that a rule that could not work is refused at file:line:col before
// any message runs; a Set then runs the same rules in both directions.
//
// Translation is pure: the same bytes and options give the same Bundle, ids included. There is no clock, no
// network and no randomness here. Nothing is lost silently: every valued leaf of a message is mapped, ignored
// for a stated reason, or listed as unmapped.
//
// The language is described in docs/mapping.md; the maps are in maps/.
package mapping
