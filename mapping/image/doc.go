// Package image looks at photos without decoding them: what they are by their own bytes, how large, which
// way up, what private metadata they carry; takes that metadata out of them without touching a pixel; and
// makes a JPEG that is too large for a destination fit, with the least harm (Fit).
//
// Every format is taken apart once, into the stretches of bytes that belong to the picture and the names of
// what does not (see anatomy). Inspect reports what that found, Strip joins what belongs. What is not known
// to belong to the picture is taken out: a list of what is private would always lack something.
//
// Inspect and Strip never hold a file: it is read through a window of 64 KiB, and what Strip gives is a list of its
// stretches. No decoder runs. Memory beside the window is in proportion to the number of stretches, which is
// limited, and time to the number of bytes. Fit holds what it says. Errors of the photo are *issue.Issue and hold no value of it;
// those of the place where it lies are *ReadError.
package image
