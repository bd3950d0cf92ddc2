// Package simulation runs the production handlers of submit, webhook, reconcile and
// publish through thousands of simulated failures, and checks after each schedule of
// them that the product kept its promises. One number, the seed, decides everything that
// happens in a schedule, so that any of them can be replayed.
//
//	go test ./simulation                                            2,000 known seeds and 200 new ones
//	go test ./simulation -run TestSimulation -schedules=100000 -timeout 0 -v
//	go test ./simulation -run TestReplaySeed -seed=123 -v           one schedule, with its trace
//	go test ./simulation -run TestMutations -mutations -timeout 0 -v
//
// # A schedule
//
// A few files are uploaded over some minutes, while machines crash, answers get lost,
// messages come twice, requests are throttled and clocks differ. All faults end after a
// while. Then everything must come to rest, and the promises are checked.
//
// # Files
//
// The handlers are made by each function's NewHandler, from the configuration that its
// own LoadConfig reads; stack.go does that, and gives them these models in place of AWS
// and of the network:
//
//	world.go      one schedule: its clock, its trace, and the checks at every write of the ledger
//	plan.go       what people do: uploads, reviews, wishes, forgeries
//	insider.go    what somebody else with a key of the same workspace does there
//	faults.go     every kind of fault, and how often it happens
//	lambda.go     instances, cold starts, time-outs, crashes
//	machine.go    what an instance does to AWS and to Extend, and how that fails
//	bucket.go     the upload bucket and its upload events
//	queue.go      the upload queue, its event source and its dead-letter queue
//	extend.go     Extend's bad days, around the fake of package fakeextend; the HTTP API
//	stream.go     the table's stream and its event source
//	bus.go        the event bus; compares every event with what was stored
//	promises.go   what must be true in the end of the documents and their runs
//	announced.go  what must be true in the end of the events
//
// The ledger's table is [ledger.NewMemory] or, in TestOnTheRealTable, a server that
// speaks DynamoDB's protocol; the traces of both must be the same.
//
// # What is promised
//
//   - Every upload ends in a terminal state, with one run for each attempt, be it a processor's
//     or a workflow's. A workflow that has read a part is run again only if somebody wants it.
//   - Of the uploads with the same bytes under the same key, one is paid for, unless it came
//     to nothing.
//   - After an end that Extend has told, no consumer hears that a person is asked.
//   - The record says of its run what Extend says of it. Its output is, by value, one that
//     the run had, and the newest one if the delivery of that was answered with 200.
//   - Nothing that a stranger sends is stored.
//   - No credential is in a log line, a record or an event.
//   - No run that somebody else in the workspace made is stored for an upload.
//   - Every revision of every document is announced, each before the next one. A
//     repetition has the same id and the same content. Nothing is announced that is not
//     stored, and a consumer can read the output that was stored with that revision.
//   - The dead-letter queues hold what nobody can process, each with its reason, and
//     nothing else.
//
// # Why the seed decides everything
//
// A schedule runs in a bubble of testing/synctest, whose clock moves only when every
// goroutine waits. That clock is the scheduler. Before and after each side effect is a
// pause of a random length, to the nanosecond, so that two goroutines are hardly ever
// awake at one instant: the pauses decide who comes first, and the seed decides the
// pauses (world.dice). TestSameSeedSameSchedule compares traces byte by byte.
//
// The seed also chooses which kinds of faults there are in a schedule (swarm, in
// faults.go): some faults hide others, and in some schedule they are apart.
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
// first instance of submit. A line of the handler's own log is indented by two blanks.
// FAULT is what the simulation did on purpose, and PROMISE a promise that is broken. The
// line with the broken promise is usually the last one: search the trace for the
// document, and read upward.
//
// # How to add a fault
//
// Add a name to the list of kinds in faults.go, a line to the table below it, and a call
// of world.strike where the fault happens: in machine.go for what a machine does, in
// apiFault, fate or deliveryFault (extend.go) for what Extend does, in stream.go and bus.go for
// what happens to events, in plan.go for what people do. If it can make a promise
// impossible to keep, it belongs in the next list, with a reason of its own.
//
// A guard that a new fault tests deserves a mutation (mutations_test.go), which shows
// that the simulation fails without the guard.
//
// # What can't be decided
//
// Four cases look the same to every program that has only Extend's API. They are
// counted, and are no violations:
//
//   - The POST's answer is lost, no webhook comes in time, and the list does not show
//     the run within the confirm window. The file is sent a second time. The window is a
//     parameter, and must be longer than the list's lag, a late request and the
//     difference of two clocks together.
//   - The POST's answer is lost, and somebody deletes the run at Extend before anybody
//     heard of it.
//   - A signed tag is copied while nobody knows the outcome of its own POST. Whichever of the
//     two runs is heard first is recorded.
//   - A run is reviewed, and deleted before its review could be confirmed by a GET.
//     Deliveries have no order, and so the older result stays.
//
// # What is not simulated
//
// The index by state never lags, AWS's clients do not retry by themselves, and the
// stream's shards do not split. A delivery that points to its payload without naming the
// run is not followed: it is answered with 500 and left to reconcile. A review whose
// webhook is lost for good is not known, for nothing asks about a document that has
// ended. The vendor's real list lag, retry schedule and limits are unknown; what package
// fakeextend assumes of them is in its documentation.
package simulation
