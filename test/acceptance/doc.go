// Package acceptance has the tests of the deployed template: SAM builds template.yaml
// and deploys it to a local AWS, and what goes in by the bucket is followed to the
// table, the results bucket and the bus. Most tests share one stack, and each has
// uploads of its own. The tests need what `make run` needs; -short skips them.
package acceptance
