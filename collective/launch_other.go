//go:build !linux

package collective

import "syscall"

func endsWithUs(a *syscall.SysProcAttr) *syscall.SysProcAttr { return a }
