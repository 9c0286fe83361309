// Package file takes messages from a folder: HL7 v2 (ER7) or FHIR R4 JSON, told apart by their content, one
// message or batch a file.
//
// The contract with a sender is the rename: write under a name that ends in ".part" or begins with a dot,
// and rename the file into place when it is whole. For senders that write in place, a file is left alone
// until its size and time have not changed for Settle.
//
//	NAME                     waits; dot files, *.part, folders, links and devices are not looked at
//	.taking/NAME             is being taken
//	done/NAME                was kept by the gateway
//	refused/NAME             was refused
//	done|refused/NAME.ack.hl7, NAME.ack.json    the answers to it, one after another
//	refused/NAME.reason.txt  why, where a file never became a message
//	.lock                    held by the gateway that is looking through the folder
//
// A file is claimed by a rename into .taking, under the name that it and its answer will bear: its own, or
// one with the time in it when its own is taken already. Nothing is ever overwritten. Then it is read,
// accepted, its answer made durable, and last of all it is moved to its place beside the answer. Whatever a
// crash leaves in .taking is taken again before anything else: what had been accepted gets its first answer
// again (the repeat rule of Accept) under the same name, so that the crash does not show.
//
// Files are taken one at a time, oldest first (by modification time, then name). While the store cannot keep
// messages the first one goes back to where it was and all wait; a file that only fails itself is tried
// again later and overtaken meanwhile, and refused in the end. Two gateways may watch one folder: the lock
// goes to one of them for each look, and away with a process that dies. On a network share this asks for one
// that carries flock, as NFSv4 does.
//
// A file name may hold patient data, so logs show a hash of it.
package file
