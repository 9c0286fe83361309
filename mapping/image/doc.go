// Package image looks at photos without decoding them: what they are by their own bytes, how large, which
// way up, what private metadata they carry; and takes that metadata out of them without touching a pixel.
//
// Every format is taken apart once, into the stretches of bytes that belong to the picture and the names of
// what does not (see anatomy). Inspect reports what that found, Strip joins what belongs. What is not known
// to belong to the picture is taken out: a list of what is private would always lack something.
//
// Everything is pure and bounded: no decoder runs, memory is in proportion to the number of segments, which
// is limited, and time to the number of bytes. Errors are *issue.Issue and hold no value of the file.
package image
