package photoworker

import "golang.org/x/sys/unix"

// confine limits what this process may take: memory that it writes to, processor time, files, and a core dump, which
// would leave the photo on the disk.
func confine(memory, seconds uint64) error {
	for resource, most := range map[int]uint64{unix.RLIMIT_DATA: memory, unix.RLIMIT_CPU: seconds, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return err
		}
	}
	return nil
}
