// Package photoworker gives the pixels of photos that are no JPEG: PNG, GIF, BMP, TIFF, WebP, HEIC and DICOM.
//
// Their decoders are other people's, and some have a record of crashing on what strangers send. So they run in a worker
// process: the same program started once more for one photo, with a limit on its memory, its processor time and the time
// it has in all. Its death refuses that photo and nothing else. What comes back is rows of samples of 8 bits, one after
// another, so that the photo is never whole in the process that asked for it.
package photoworker
