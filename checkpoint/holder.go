package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"criticrm/checkpoint/vfs"
)

// Holder tells of a checkpoint directory whether the process that opened it last is alive. It only looks: nobody is kept out by it. known is
// false if nobody has opened the directory yet, or on another machine.
func Holder(dir string) (alive, known bool) {
	root, err := vfs.OpenRoot(dir)
	if err != nil {
		return false, false
	}
	defer root.Close()
	f, err := root.OpenFile(lockName, os.O_RDONLY, 0)
	if err != nil {
		return false, false
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 512))
	if err != nil {
		return false, false
	}
	var pid int
	var host string
	if n, _ := fmt.Sscanf(string(b), "pid %d on host %s", &pid, &host); n != 2 || pid <= 0 {
		return false, false
	}
	if here, err := os.Hostname(); err != nil || here != host {
		return false, false
	}
	err = syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM), true
}
