package collective

import "syscall"

// endsWithUs has the system end a process when the one that starts it does, however that ends.
func endsWithUs(a *syscall.SysProcAttr) *syscall.SysProcAttr {
	a.Pdeathsig = syscall.SIGTERM
	return a
}
