//go:build unix

package view

import (
	"os"
	"syscall"
)

// lock takes the lock of a folder, which ends with the process. Not ok: another has it.
func lock(dir string) (unlock func(), ok bool) {
	f, err := os.Open(dir) // #nosec G304 -- a folder of our own
	if err != nil {
		return nil, false
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // #nosec G115 -- a file descriptor
		_ = f.Close()
		return nil, false
	}
	return func() { _ = f.Close() }, true
}
