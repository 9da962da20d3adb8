//go:build unix

package stage

import (
	"os"
	"syscall"
)

// lockFile takes the file for this process; the kernel gives it back when the file is closed or the process dies.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
