//go:build unix

package stage

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile takes the file for this process; the kernel gives it back when the file is closed or the process dies.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s is in use by another run", f.Name())
	}
	if err != nil {
		return fmt.Errorf("%s cannot be locked: %w", f.Name(), err)
	}
	return nil
}
