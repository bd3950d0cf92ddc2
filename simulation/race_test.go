//go:build race

package simulation

// slow says that the race detector is on: everything takes ten times as long.
const slow = true
