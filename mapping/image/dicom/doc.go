// Package dicom takes a photo out of a DICOM file, and wraps one as a DICOM file.
//
// It reads what skin photos come as: VL Photographic and Dermoscopic Photography Image Storage, Secondary Capture, and
// any other single picture of 8 bits a sample in grey or colour, uncompressed, in RLE or as JPEG (DICOM PS3.3, PS3.5,
// PS3.10). A JPEG is given as it stands, with the marker that a reader outside DICOM needs to see its colours. What it
// does not read it names. It runs in a worker process (see gateway/photoworker), since its input is a format of a
// thousand pages written by strangers; none the less no input makes it panic, hang or take memory beyond its own size.
package dicom
