// Package image looks at photos without decoding them: what they are by their own bytes, how large, which
// way up, what private metadata they carry; and takes that metadata out of them without touching a pixel.
//
// Every format is taken apart once, into the stretches of bytes that belong to the picture and the names of
// what does not (see anatomy). Inspect reports what that found, Strip joins what belongs. What is not known
// to belong to the picture is taken out: a list of what is private would always lack something.
//
// A file is never held: it is read through a window of 64 KiB, and what Strip gives is a list of its
// stretches. No decoder runs. Memory beside the window is in proportion to the number of stretches, which is
// limited, and time to the number of bytes. Errors of the photo are *issue.Issue and hold no value of it;
// those of the place where it lies are *ReadError.
package image
