package simulation

import "math/rand/v2"

// A kind is a kind of fault. To add one: a line here, a line in kinds, and one
// call of [world.strike] at the place where it happens.
type kind int

const (
	// Machines.
	crash kind = iota
	stall
	coldStart
	clockSkew
	// The ledger's table.
	ledgerThrottled
	ledgerAnswerLost
	recordUnreadable
	// S3.
	eventRepeated
	eventLate
	emptyFile
	createdAgain
	objectDeleted
	headFails
	linkFails
	fileUnavailable
	putFails
	putAnswerLost
	// SQS.
	deliveredTwice
	deleteLost
	delayFails
	delayAnswerLost
	deadLetterFails
	deadLetterAnswerLost
	requeueFails
	requeueAnswerLost
	// The table's stream.
	streamLate
	batchRepeated
	// EventBridge.
	busFails
	busAnswerLost
	busEntryFails
	busRefusesRequest
	busRefusesEvent
	// The secret and the schedule.
	secretUnavailable
	tickSkipped
	tickTwice
	// Extend's API.
	outage
	rateLimited
	failsBefore
	failsAfter
	cutBefore
	cutAfter
	slowBefore
	slowAfter
	neverSent
	transportRepeats
	firewalled
	linkQuoted
	foreignAnswer
	answerWithoutRun
	answerUnreadable
	readLags
	finalNo
	smallPlan
	// Extend's lists.
	listLags
	listLagsTooLong
	// What becomes of a run.
	runWaits
	runFailsTransiently
	runFails
	runRecovers
	runCancelled
	runDeleted
	runHangs
	tagEchoed
	membersDrift
	outputLate
	outputInexact
	// Webhooks.
	webhookLost
	webhookRepeated
	webhookLate
	webhookHoursLate
	webhookEarly
	webhookPointer
	webhookWrongSignature
	webhookStale
	webhookOtherType
	webhookUnreadable
	webhookOtherVersion
	gatewayLost
	gatewayAnswerLost
	// People.
	reviewed
	reprocessed
	withdrawn
	announcedAgain
	deletedLater
	forged
	replayed
	foreignRun
	untaggedRun
	handWritten
	insider // the last one of the first versions: see swarm
	// Workflows.
	reviewNeeded
	reviewSlow
	reviewRejected
	reviewChanged
	stepDone
	nKinds
)

// kinds says of each kind how it is called and how often it strikes, where it is
// switched on, per place where it can.
var kinds = [nKinds]struct {
	name string
	p    float64
}{
	crash:                {"machine crashes at a side effect", 0.02},
	stall:                {"machine stalls, up to its time-out", 0.01},
	coldStart:            {"cold start although an instance is idle", 0.3},
	clockSkew:            {"machine's clock is off, up to 5 s", 0.7},
	ledgerThrottled:      {"ledger: throttled", 0.05},
	ledgerAnswerLost:     {"ledger: written, answer lost", 0.05},
	recordUnreadable:     {"ledger: record can't be understood, for once", 0.02},
	eventRepeated:        {"upload event repeated", 0.3},
	eventLate:            {"upload event late, out of order", 0.3},
	emptyFile:            {"upload is empty", 0.1},
	createdAgain:         {"a tool creates the object again, with the same bytes", 0.2},
	objectDeleted:        {"object deleted", 0.1},
	headFails:            {"object can't be looked at", 0.1},
	linkFails:            {"presigning fails", 0.1},
	fileUnavailable:      {"Extend can't fetch the file", 0.1},
	putFails:             {"large output not stored", 0.2},
	putAnswerLost:        {"large output stored, answer lost", 0.2},
	deliveredTwice:       {"message delivered to two at once", 0.1},
	deleteLost:           {"message not deleted though done", 0.1},
	delayFails:           {"message's delay not set", 0.2},
	delayAnswerLost:      {"message's delay set, answer lost", 0.2},
	deadLetterFails:      {"dead letter not sent", 0.3},
	deadLetterAnswerLost: {"dead letter sent, answer lost", 0.3},
	requeueFails:         {"message not requeued", 0.2},
	requeueAnswerLost:    {"message requeued, answer lost", 0.2},
	secretUnavailable:    {"secret can't be read", 0.05},
	tickSkipped:          {"reconcile not invoked", 0.2},
	tickTwice:            {"reconcile invoked twice at once", 0.1},
	outage:               {"account refused or Extend down for minutes", 0.6},
	rateLimited:          {"429, with and without Retry-After", 0.15},
	failsBefore:          {"5xx or 408 before the request took effect", 0.1},
	failsAfter:           {"5xx or 408 after it took effect", 0.15},
	cutBefore:            {"connection cut before it took effect", 0.1},
	cutAfter:             {"connection cut after it took effect", 0.15},
	slowBefore:           {"request arrives after the client gave up", 0.1},
	slowAfter:            {"answer after the client gave up", 0.1},
	neverSent:            {"no connection", 0.1},
	transportRepeats:     {"stream refused after the request arrived: a transport repeats what it can send again", 0.1},
	firewalled:           {"firewall refuses a file, always", 0.1},
	linkQuoted:           {"a text of Extend quotes a presigned link", 0.3},
	foreignAnswer:        {"a router, proxy or firewall answers in Extend's place", 0.1},
	answerWithoutRun:     {"success without what was asked for, done or not", 0.1},
	answerUnreadable:     {"request took effect, answer can't be read", 0.1},
	readLags:             {"GET shows an older state of the run", 0.3},
	finalNo:              {"upload that Extend refuses for good", 0.3},
	smallPlan:            {"plan is smaller than configured", 0.5},
	listLags:             {"list lags, below the confirm window", 0.5},
	listLagsTooLong:      {"list lags longer than the confirm window", 0.5},
	runWaits:             {"run PENDING for long", 0.2},
	runFailsTransiently:  {"run fails for a transient reason", 0.2},
	runFails:             {"run fails for good", 0.15},
	runRecovers:          {"run FAILED, and PROCESSED later", 0.3},
	runCancelled:         {"run cancelled", 0.15},
	runDeleted:           {"run deleted while under way", 0.1},
	runHangs:             {"run ends only hours later", 0.1},
	tagEchoed:            {"metadata comes back in another spelling, or not", 0.3},
	membersDrift:         {"member of another type, or left out", 0.3},
	outputLate:           {"run PROCESSED before it has its output", 0.1},
	outputInexact:        {"output that the table can't hold", 0.3},

	streamLate:        {"stream read minutes late", 0.2},
	batchRepeated:     {"stream batch repeated though done", 0.2},
	busFails:          {"event bus: request fails", 0.2},
	busAnswerLost:     {"event bus: events taken, answer lost", 0.2},
	busEntryFails:     {"event bus: some events of a request fail", 0.3},
	busRefusesRequest: {"event bus: refuses events together, takes each alone", 0.3},
	busRefusesEvent:   {"event bus: refuses an event for good", 0.1},

	webhookLost:           {"webhook lost", 0.25},
	webhookRepeated:       {"webhook repeated", 0.3},
	webhookLate:           {"webhook minutes late", 0.3},
	webhookHoursLate:      {"webhook hours late", 0.1},
	webhookEarly:          {"webhook before the POST's answer", 0.3},
	webhookPointer:        {"webhook points to its payload", 0.2},
	webhookWrongSignature: {"webhook with another secret's signature", 0.1},
	webhookStale:          {"webhook with an old timestamp", 0.1},
	webhookOtherType:      {"webhook of an unknown type", 0.05},
	webhookUnreadable:     {"webhook that can't be read", 0.1},
	webhookOtherVersion:   {"webhook of another version of the API", 0.1},
	gatewayLost:           {"gateway loses the webhook", 0.1},
	gatewayAnswerLost:     {"gateway loses the answer", 0.1},

	reviewed:       {"person reviews the output", 0.3},
	reprocessed:    {"person wants the document read again", 0.2},
	withdrawn:      {"person withdraws a document", 0.2},
	announcedAgain: {"person has a document announced once more", 0.2},
	deletedLater:   {"person deletes a run that ended", 0.1},
	forged:         {"stranger forges a webhook", 0.7},
	replayed:       {"stranger replays an old webhook", 0.7},
	foreignRun:     {"another stack's run of the same file", 0.6},
	untaggedRun:    {"run from the dashboard", 0.6},
	handWritten:    {"item written by hand that nobody understands", 0.3},
	insider:        {"somebody else in the workspace copies tags, invents attempts, deletes runs", 0.6},

	reviewNeeded:   {"workflow's run waits for a person", 0.5},
	reviewSlow:     {"review takes a day", 0.2},
	reviewRejected: {"person rejects in a review", 0.3},
	reviewChanged:  {"person changes the mind about a review", 0.2},
	stepDone:       {"workflow fails after some of its processors", 0.5},
}

// faults says how often each kind strikes in one schedule, and counts.
type faults struct {
	p [nKinds]float64
	n [nKinds]int
}

// swarm switches on a random subset of the kinds: faults that hide each other
// are then apart in some schedule.
func swarm(dice *rand.Rand) (f faults) {
	density := []float64{0, 0.1, 0.3, 0.3, 0.6, 1}[dice.IntN(6)]
	draw := func(k kind) {
		strength := []float64{0.3, 1, 1, 3}[dice.IntN(4)]
		if dice.Float64() < density {
			f.p[k] = min(kinds[k].p*strength, 0.9)
		}
	}
	for k := range insider {
		draw(k)
	}
	if dice.Float64() < 0.9 {
		f.p[listLagsTooLong] = 0 // the undecidable case is looked at in a tenth of the schedules
	}
	for k := insider; k < nKinds; k++ { // after all others, which stay as they were without them
		draw(k)
	}
	return f
}
