package view

import (
	"fmt"
	"os"
	"path/filepath"
)

// tempDir makes a folder that only this user can read, for copies of documents, and removes
// those of earlier runs that could not remove theirs.
func tempDir(parent string) (dir string, remove func(), err error) {
	parent = filepath.Join(parent, "documents")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", nil, fmt.Errorf("view: folder for copies of documents: %w", err)
	}
	if err := os.Chmod(parent, 0o700); err != nil { // #nosec G302 -- a folder
		return "", nil, fmt.Errorf("view: folder for copies of documents: %w", err)
	}
	left, _ := os.ReadDir(parent)
	for _, e := range left {
		old := filepath.Join(parent, e.Name())
		if unlock, ok := lock(old); ok {
			_ = os.RemoveAll(old)
			unlock()
		}
	}
	dir, err = os.MkdirTemp(parent, "")
	if err != nil {
		return "", nil, fmt.Errorf("view: folder for copies of documents: %w", err)
	}
	unlock, ok := lock(dir)
	if !ok {
		return "", nil, fmt.Errorf("view: %s: can't be locked", dir)
	}
	return dir, func() { _ = os.RemoveAll(dir); unlock() }, nil
}
