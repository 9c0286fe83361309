// Package maps holds the map files that the gateway ships: HL7 v2 to FHIR R4 and back. They are data; the
// engine and the language are in package mapping.
package maps

import "embed"

// FS holds the shipped maps, in the folders messages, segments, datatypes and tables.
//
//go:embed names.yaml messages segments datatypes tables
var FS embed.FS
