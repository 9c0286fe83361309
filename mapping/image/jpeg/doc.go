// Package jpeg takes a JPEG (ITU-T T.81) apart as far as its DCT coefficients and puts coefficients together
// to a JPEG again. A photo that is rewritten in this way loses nothing: the numbers that a viewer makes its
// pixels of are the same.
//
// Decode reads baseline, extended and progressive pictures of 8 bits with one, three or four components in
// any sampling. Encode writes them sequential or progressive, with Huffman tables made for the picture.
// Arithmetic, lossless and hierarchical pictures and those of 12 bits are refused by name.
//
// The bytes of the photo are held; beside them a Picture takes 2.2 bytes a sample. Any JPEG can be read in Bands
// instead, one row of MCUs at a time, however many scans it has: the scans are read side by side. Bands are written
// in the same way. Limits are looked at before anything is decoded.
// Errors are *issue.Issue and hold no value of the photo.
package jpeg
