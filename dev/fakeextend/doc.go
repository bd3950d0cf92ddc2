// Package fakeextend is a strict, in-memory fake of Extend, for tests and
// for the local run. It is ours, not the vendor's; it contains no code of Extend
// and no document ever leaves the machine through it.
//
//	fake, baseURL := fakeextend.NewServer(t, fakeextend.Options{
//		APIKey:     "sk_test",
//		Processors: []fakeextend.Processor{{ID: "dp_invoices", Type: fakeextend.Extract, Subscribed: true}},
//	})
//	// … let the code under test talk to baseURL …
//	if err := fake.Wait(t.Context()); err != nil { … }
//	for _, run := range fake.Runs() { … }
//
// It is written from the wire: with types and a signature of its own, and
// without importing the client that it tests. One mistake can thus not hide in
// both. All 44 calls of the vendor's reference are served, by the contract of
// package apicontract: TestContract holds each answer to it.
//
// # State
//
// What is made stays. A processor can be changed, published and run in each of its
// versions; a file of any run can be read until it is deleted; a workflow run has
// its processors' runs, its steps and perhaps a person who is asked; an evaluation
// set is measured by [Server.Evaluate]. How long each kind of run takes is an
// option. [Server.Runs] tells of processor runs, [Server.Jobs] of all others.
//
// # Strict
//
// The fake refuses what Extend refuses, and where the documentation is
// silent, it takes the reading that is harder on a client. Every refusal is kept
// ([Server.Refused]), every request counted ([Server.Requests]).
// Bodies are read by the contract: nothing that is required may be missing, nothing
// may be null that may be absent, and nothing may be there that is not described.
// Two equal POSTs make two runs, for the API has no idempotency key. Every POST of
// processor runs that arrives is kept, with what was answered and which run it made
// ([Server.Posts]); [Server.Accepted] and [Server.Paid] say what would have been
// paid for, however the runs ended.
//
// # What the vendor documents
//
// For API version 2025-04-21, at https://docs.extend.ai/2025-04-21/:
//
//   - the key, the version header and their refusals; 404 for what is unknown
//   - the request of POST /processor_runs: a processor, a file or a text, a
//     priority of 1..100, metadata that is an object, a config of the
//     processor's type; usage tags lose the characters that they must not have
//   - the run object, its statuses, and {} as the output of an unfinished run
//   - lists: 10 items unless asked for 1..1000, newest change first, opaque
//     page tokens, summaries without metadata
//   - a webhook needs a subscription per processor; its envelope, its headers,
//     the signature over the exact bytes, the 30 s for an answer, repeated tries
//     with backoff; no event for a cancelled run
//   - the pointer in place of a large payload, good for an hour
//   - deliveries name the API version of their endpoint; the events and members of
//     2026-02-09, for [Options.WebhookVersion]
//   - that new response fields may appear: every object here has one
//   - what the contract allows in several forms is written in each of them in turn:
//     what is optional is absent and null, times have three spellings, page counts
//     are 2 and 2.0, an edit run is bare and in an envelope, its status a text and an
//     object, a failed parser or edit run whole and the status only
//
// # What is our reading
//
//   - a request with both file and rawText, or both fileUrl and fileId, gets 400;
//     so does null where a field may be absent, a foreign Content-Type, metadata
//     over 10 KB (documented for a later version), an unknown or empty list parameter
//   - unknown body fields of a processor run are accepted and counted
//     ([Server.UnknownFields]); those of other calls get 400
//   - what is not there gets 404 where the contract declares it, else 400
//   - a processor needs a configuration or one to copy, a file a link or a text, a
//     request of workflow runs files or texts, and none takes both
//   - an update's configuration replaces the draft's whole, metadata of a workflow
//     run is merged one level deep, and a run that has ended is not changed
//   - items of an evaluation set are all made or none; what is expected has to fit
//     the processor's type
//   - a call that waits refuses what fails with 422, and after five minutes gets 500;
//     a sync processor run then shows the run as it is
//   - with responseType=url, the content of each chunk is a link
//   - a workflow run is PENDING at first, and its processors' runs send no events
//     without [Workflow.ProcessorEvents]; a person can change a review
//   - an endpoint of the later version gets what is not about a processor run as this
//     version has it
//   - the plan's files per minute are those of all kinds of runs
//   - another known API version gets 400, lest a wrongly configured client passes
//   - the file is fetched by one GET right after the run is accepted, redirects
//     are not followed, and anything but 200 ends the run with FAILED_TO_PROCESS_FILE
//   - its path is sent as it stands in the URL, save with [Options.RewritesPaths]
//   - only a PROCESSING run can be cancelled, else 400; a deleted run ends silently
//   - requests over the plan get 429, files over it wait as PENDING
//   - fileNameContains minds case; a page token serves only the query it came from
//   - tags that become empty are dropped, and the echo shows the cleaned ones
//   - each try of a delivery has a fresh timestamp and signature and the same
//     event id; 4xx is tried again; the pauses are [DefaultSchedule]
//   - a review sends a second processed event
//   - the error body: three shapes have been published or seen ([ErrorShape])
//   - an empty file can be uploaded; its run is FAILED with CORRUPT_FILE, and paid
//   - the two versions' ids of a run differ in their prefix only, and its output is
//     the same text in both
//   - runs of the dashboard send the same events as others; a page of the later
//     version says that they send none
//   - what the dashboard's test button sends: [Pings] lists what others' buttons send
//   - config of an unchanged processor, credits, page counts and outputs are made up
//
// It does not do: requests of another API version, reading of documents.
//
// # Misbehaviour
//
// No documentation knows of what follows: it is what has been seen in the field,
// with Extend or with others like it.
//
//   - [Fault]: one request. [Options.Fault] is asked once per request; [Script],
//     [ForFile], [Firewall] and [First] make such functions. An error in the API's
//     own shape, an [Answer] that somebody else gave, a lost one, a late one, one
//     that shows an older state ([View]) or a changed one ([Change]).
//   - [Fate]: one run of any kind, decided when it is made. How and when it ends, perhaps
//     twice, what reads show of it meanwhile, and how it is shown in each [Place].
//   - [DeliveryFault]: one try of a delivery. [Options.DeliveryFault] is asked once
//     per try.
//   - [Server.CancelRun], [Server.DeleteRun], [Server.ReviewRun], [Server.CompleteRun],
//     [Server.ReviewWorkflowRun], [Server.Evaluate], [Server.Redeliver] and
//     [Server.Send]: what people do in the dashboard.
//   - [Server.AddRun]: what anybody else with a key of the workspace does.
//
// [ForeignAnswers], [AnswersWithoutRun], [UnreadableRuns], [UnreadableBodies],
// [TypeDrifts], [EnvelopeDrifts], [TagEchoes], [RetryAfters], [LinkTexts] and
// [Pings] list examples of one kind each, to range over:
//
//	for _, change := range fakeextend.TagEchoes() {
//		t.Run(change.Name, func(t *testing.T) {
//			fate := fakeextend.Fate{Changes: map[fakeextend.Place]fakeextend.Change{fakeextend.InGet: change}}
//			opts.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{Status: 504, After: true, Fate: fate})
//			…
//
// # Time
//
// All waiting is done by the standard library's timers, and nothing but the two
// clients of the options touches a socket. Made inside a testing/synctest bubble,
// with [Transport] under its clients, the fake therefore runs in virtual
// time: retries of an hour take none, and exact instants can be asserted. Ids
// come from [Options.Seed] and the order of calls alone.
package fakeextend
