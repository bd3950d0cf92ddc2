//go:build !linux

package child

import "syscall"

// Without Linux's Pdeathsig a child stays if we are killed outright.
var attributes = &syscall.SysProcAttr{Setpgid: true}
