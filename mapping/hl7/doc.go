// Package hl7 reads and writes HL7 v2 messages (ER7) without losing a byte: a Message is a view over the
// bytes it was parsed from, split only where it is asked, so that a 3 MB photo in an OBX costs one pass
// over its bytes and no copy.
//
// Counting follows the standard: fields, repetitions, components and sub-components start at 1, and MSH-1
// is the field separator itself. A value is absent (the segment ends before it), empty (nothing between
// its delimiters), null (`""`: delete what you have) or present; the four are never confused.
//
// What is tolerated, because senders do it: CR, LF, CRLF and any mixture as segment terminator, a missing
// last one, a UTF-8 byte order mark, blank lines, MLLP bytes left in a file, and line breaks inside an OBX
// or NTE as long as the line that follows does not look like a segment. What is refused, because guessing
// would put one patient's data where another's belongs: any other line that is no segment, a second MSH,
// delimiters that clash.
//
// Several messages in one file or frame, with the envelope of FHS and BHS or without, are for Split, which
// gives each as a part of the input; Several tells whether there are any.
//
// Text is UTF-8 whatever the message is written in. UTF-8, ASCII, the 8859 sets and cp1252 are read in place.
// Sets whose characters may contain delimiter bytes are read only from a source that declares them, and
// then transcoded before the message is split: ParseIn has the rules, Original the bytes as they came.
//
// Whether a message keeps to the standard beyond that is asked by Validate, with a Profile; the answer never
// changes what the message says. The grammars of messages also tell which segment belongs to which (Owner).
package hl7
