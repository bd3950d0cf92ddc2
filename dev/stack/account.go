package stack

// An Account is a real one at Extend, for `up` without the fake. Extend can't
// reach this machine: files are sent to it, and results are asked for.
type Account struct {
	Key, Processor     string
	BaseURL, Workspace string // Workspace may be empty
}

// parameters are those of the template that an account needs on a machine that has no
// address.
func (a *Account) parameters() map[string]string {
	return map[string]string{
		"ProcessorId": a.Processor, "ExtendWorkspaceId": a.Workspace,
		"Transfer": "upload", "ReconcileAfterSeconds": "15",
	}
}
