// Package lift takes big embedded files out of a message while it is being read: a photo in OBX-5 or in a
// FHIR "data" goes to a store as it comes in, decoded and hashed, and is never whole in memory. In its place
// the message has a token, so that what stays in memory is small and is still a message.
//
// # What is lifted
//
// ER7: a component of OBX-5, the first five of a repetition, behind an optional "data:…;base64,", which stays.
// JSON: the string that is the value of a key "data". It is on trial, and stays in Raw, until it is Threshold
// bytes long. It is lifted when it was base64 so far and is sure to be a file: ED.4 says Base64, or its first
// bytes are of a known type that is no text, or, in JSON, no space stands in it (SampledData.data is numbers
// between spaces). Where ED.4 says Hex or A nothing is lifted, nor where a delimiter is a letter of base64,
// nor from what is no HL7 v2 in a byte-wide character set. What is not lifted passes into Raw as it is.
//
// The content is what mapping decodes from the whole message: padded base64, strictly, white space left out,
// escape sequences (of at most 256 bytes, within one line) and JSON escapes resolved. Lines that a sender has
// wrapped belong to their segment by the rule of hl7.Parse. A component is lifted as a whole: a sub-component
// delimiter in it is a byte that is no base64.
//
// What is lifted depends on the bytes alone, never on how they arrived.
//
// # The token
//
// It is "lifted00" and the SHA-256, in lower-case hex, of the encoded bytes it stands for. It is base64 itself,
// so that readers of ER7 and FHIR take it for a value; the same bytes have the same token; and since it is bound
// to all of them, a hash over Raw tells messages apart as well as one over the original.
package lift
