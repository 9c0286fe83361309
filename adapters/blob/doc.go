// Package blob keeps photos and large bodies at rest, sealed, in a folder or bucket that several processes may share.
//
// An object is named <owner>/<HMAC-SHA-256 of the owner and the SHA-256 of its content>: the same photo is
// kept once within its case, never shared between cases, and a stolen folder does not even tell which photo
// it holds or that two cases hold the same one.
//
// # The file
//
//	 0   8  "DGBLOB1\n"
//	 8   8  key id, to tell a wrong key from a broken file
//	16  12  random nonce of the wrapped key
//	28  48  the object's own random data key, sealed by the wrapping key (AES-256-GCM; bytes 0 to 15 and the
//	        name are the associated data, so that one object cannot be passed off as another)
//	76   …  segments of 64 KiB of content, each sealed by the data key (AES-256-GCM, a tag of 16 bytes); the
//	        last one may be shorter; an empty object has one empty segment
//
// Segment n has the nonce 0 0 0, n (8 bytes, big endian), and 1 for the last one, else 0. This is the STREAM
// construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015): a file that is cut, extended or put in another
// order does not open, and reading and writing hold two segments in memory whatever the size.
//
// # Objects put together of others
//
// What is sent holds a photo as base64, and a photo without its private metadata is most of the photo as it came. Neither is
// written again: such an object says which stretches of which objects of the same owner it is made of, and how, and has only
// what is new in it. It begins with "DGPART1\n"; what is sealed in it is its own bytes, then a table (JSON: see part) and the
// table's length (4 bytes, big endian). It is named, read and hashed as any other. Since an owner's objects are removed
// together, it does not outlive what it is made of.
//
// # Keys
//
// One master key of 32 bytes seals; the wrapping key and the key id are derived from it (HKDF-SHA-256). Others may be
// given that only open. Wrapping takes one random nonce an object, which AES-GCM bears for 2^32 objects a key (NIST
// SP 800-38D §8.3).
//
// The file .keyring beside the objects has a slot for each key that objects may be sealed with (JSON; ids, and two secrets of
// the store sealed by that key: the one that names objects and the one for searching). A key that fits no slot, or a slot
// without its key, is an error at the start. Rekey retires all keys but the sealing one: it marks their slots, so that a
// process that knows no better seals nothing more with them, puts a new header before every object and drops the slots. Content,
// names and searches stay as they are.
//
// # Durability
//
// When Put returns, the object survives a power cut: temporary file, fsync, rename, fsync of the case's
// folder, fsync of the folder above. Content that is there already is written anew over itself, which heals
// a damaged object and makes it young again, so that Sweep, which takes old objects that no case refers to,
// cannot take one that was just acknowledged; both lock the case's folder for that moment.
//
// # Staging
//
// What arrives before its case is known is staged: sealed like every object, in .staging, and with its data key
// in memory only, so that a crash leaves noise. Keep writes the header and does what Put does. Each process
// stages in a folder of its own, which it locks while it lives; OpenFolder and Sweep remove those that nobody
// holds, and where folders cannot be locked, those in which nothing was touched for a day (Sweep: for its age).
package blob
