// Package simulation holds the real handlers of submit, webhook and reconcile
// against everything that can go wrong around them, thousands of times over, in
// a world that is made of one number: the seed.
//
//	go test ./simulation                                            2,000 known seeds and 200 fresh ones
//	go test ./simulation -run TestSimulation -schedules=100000 -timeout 0 -v
//	go test ./simulation -run TestReplaySeed -seed=123 -v           one schedule, with its trace
//	go test ./simulation -run TestMutations -mutations -timeout 0 -v
//
// # A schedule
//
// A few files are uploaded over some minutes. Around the handlers there is a model
// of the bucket and its notices (bucket_test.go), of the queue with its event source
// and its dead letters (queue_test.go), of Lambda's instances (lambda_test.go), of the
// HTTP API and of Extend's bad days (extend.go, around the fake of package
// fakeextend), and of people (plan_test.go). The ledger's table is its own model or, in
// TestOnTheRealTable, a real one. What the handlers decide, and every word that they
// exchange with Extend, is the product's own code, wired in stack_test.go. All faults end after a while; then everything must come to
// rest, and the promises are checked (promises_test.go). Some are checked at every
// write of the ledger (wrote, in world_test.go).
//
// # Why the seed decides everything
//
// A schedule runs in a bubble of testing/synctest, whose clock moves only when
// every goroutine waits. That clock is the scheduler: each side effect comes after a
// pause, and before one, of a random length to the nanosecond, and so hardly ever
// are two goroutines awake at one instant. Who comes first is the dice's choice, and
// the dice are the seed's (world.dice). TestSameSeedSameSchedule compares
// traces byte by byte.
//
// Which kinds of faults there are in a schedule is also the seed's choice (swarm, in
// faults_test.go): some faults hide others, and in some schedule they are apart.
//
// # How to read a trace
//
//	00:08:48.236073  submit#1     b1   ledger: nothing → SUBMITTING, attempt 1, revision 0
//	00:08:48.281177  Extend       b1   run created dpr_7DwG 200 PROCESSING
//	00:08:48.300332  submit#1     b1   FAULT: ledger get: fails
//	00:08:48.300332  submit#1     b1     error: ledger attempt=1 run_id=… error=simulated fault
//
// Each line has the time since the schedule began, who acts, the document, and what
// happens. Documents are a0, b1, c2 … in the order of their upload; submit#1 is the
// first instance of submit. A line of the handler's own log is set in by two blanks.
// FAULT is what the simulation did on purpose, and PROMISE what came of it. The line
// with the broken promise is the last one as a rule: search the trace for the
// document, and read upward.
//
// # How to add a fault
//
// A name in the list of kinds, a line in the table below it (faults_test.go), and a
// call of world.strike where it happens: in a wrapper of stack_test.go for what a
// machine does, in apiFault, fate or deliveryFault for what Extend does, in plan for
// what people do. If it can make a promise impossible to keep, it needs a name of its
// own in the list of what can't be decided.
//
// # What can't be decided
//
// Three cases look the same to every program that has only Extend's API, and are
// therefore counted instead of being called violations:
//
//   - The POST's answer is lost, no webhook comes in time, and the list does not show
//     the run within the confirm window. The file is sent again. The window is
//     a parameter, and must be longer than the list's lag, a late request and the
//     difference of two clocks together.
//   - The POST's answer is lost, and somebody deletes the run at Extend before
//     anything told of it.
//   - A run is reviewed, and deleted before its review could be confirmed by a GET.
//     Deliveries have no order, and so the older result stays.
//
// # What else it is not
//
// The index by state never lags here, and AWS's clients do not retry by themselves. A
// delivery that points to its payload without naming the run is never followed here; it
// is answered with 500 and left to reconcile. A review whose webhook is lost for good is not
// known, for nothing asks about a document that has ended. The vendor's real list
// lag, retry schedule and limits are unknown; what package fakeextend assumes
// of them is in its documentation.
package simulation
