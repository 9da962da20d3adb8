package collective

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
)

// ErrNoMpirun says that Open MPI is missing.
var ErrNoMpirun = errors.New("collective: there is no mpirun, which starts several processes: apt-get install openmpi-bin")

// Mpirun is the command that runs a program in n processes on this machine, also as root and with more processes than cores. It has a folder of its
// own for what Open MPI keeps while it runs, which done removes: two that begin at once fail on making the one they would share.
func Mpirun(ctx context.Context, n int, program string, args ...string) (cmd *exec.Cmd, done func(), err error) {
	mpirun, err := exec.LookPath("mpirun")
	if err != nil {
		return nil, nil, ErrNoMpirun
	}
	dir, err := os.MkdirTemp("", "criticrm-mpi-")
	if err != nil {
		return nil, nil, fmt.Errorf("collective: %w", err)
	}
	cmd = exec.CommandContext(ctx, mpirun, append([]string{"-n", strconv.Itoa(n), "--oversubscribe", "--bind-to", "none", program}, args...)...)
	cmd.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
		"OMPI_MCA_orte_tmpdir_base="+dir, "PRTE_MCA_prte_tmpdir_base="+dir) // of Open MPI 4 and 5
	return cmd, func() { os.RemoveAll(dir) }, nil
}

// Launch runs a program in n processes on this machine, with Open MPI's mpirun, until all have ended: if one fails the others are ended, and its code
// is in the error, an *exec.ExitError, with what mpirun knows of a process that a signal has ended. When ctx ends they are asked to stop by SIGUSR1, which mpirun passes on, and waited for. They end
// with the process that launched them.
func Launch(ctx context.Context, n int, program string, args []string, stdout, stderr io.Writer) error {
	cmd, done, err := Mpirun(context.Background(), n, program, args...)
	if err != nil {
		return err
	}
	defer done()
	said := &launcherSays{to: stderr}
	cmd.Stdout, cmd.Stderr = stdout, said
	cmd.SysProcAttr = endsWithUs(&syscall.SysProcAttr{Setpgid: true}) // a terminal's Ctrl-C is for this process, which passes it on
	runtime.LockOSThread()                                            // whose end would be taken for the process's
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("collective: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for stop := ctx.Done(); ; {
		select {
		case err := <-ended:
			return said.end(err)
		case <-stop:
			stop = nil
			_ = cmd.Process.Signal(syscall.SIGUSR1)
		}
	}
}
