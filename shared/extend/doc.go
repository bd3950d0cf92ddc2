// Package extend calls the Extend API (https://docs.extend.ai/2025-04-21), version 2025-04-21.
//
//	client, err := extend.NewClient(extend.StaticKey(key), extend.WithBaseURL(extend.BaseURLEU1))
//	…
//	run, err := client.Runs.Create(ctx, extend.CreateRunRequest{
//		ProcessorID: "dp_Q7hTz2Wm4kLxVr9BnE1cy",
//		File:        &extend.RunFile{FileName: "invoice 42.pdf", FileURL: presigned},
//		Metadata:    map[string]any{"documentId": "doc_42"},
//	})
//
// # Which call to use
//
// What most callers want is a run: a processor that extracts fields from a document, says of which class it is, or which
// documents are in it. [Client.Runs] starts one, a webhook or [RunService.Wait] brings its end, and [Parse] reads the output
// with confidences and citations. Processors are made and published with [Client.Processors], and measured on documents whose
// outputs are known with [Client.EvaluationSets].
//
// A workflow takes a document through several processors, rules and perhaps a person: [Client.WorkflowRuns]. Take it where the
// steps are for somebody else to change, in the dashboard, or where a person has to look; a run that needs one waits as
// [StatusNeedsReview]. It is also the way to hand over a thousand documents in one call.
//
// [Client.ParserRuns] turns a document into text and blocks, for whoever has a search or a model of their own: a processor
// does so by itself. [Client.EditRuns] fills in forms.
//
// All of them take a document as a link, which Extend fetches some time after the call, or as a file that was given to
// [Client.Files] before. Large ones are streams in both directions: [FileService.Upload] and, with [ResponseURL],
// [Client.Download].
//
// docs/api.md lists all 44 calls, with what each costs.
//
// # Was it taken?
//
// The API has no idempotency key: every POST that makes something makes it again when it is sent again, and a run is a new
// bill. So the first question about an error of [RunService.Create] is not what went wrong but whether there is a run now:
//
//   - [NotSent] reports true: surely not. The request was refused here, or no connection was made.
//   - the error holds an [*Error]: the server answered, with StatusCode. 429 and most of the 4xx are a no.
//     A 408 or a 5xx is an answer too, but not about the run: treat it as unknown.
//   - anything else is unknown: the connection broke, the context ended while waiting, or the server said
//     200 and the rest could not be read or understood. The latter is an [*AnswerError], which keeps the bytes.
//
// An unknown outcome is cleared by looking, not by asking again: a run echoes its Metadata, and
// [RunService.List] finds runs by part of their file name. An upload ([FileService.Upload]) starts no run and costs
// nothing: there, an unknown outcome is harmless.
//
// # What is promised
//
// What makes something or costs something is repeated only after a 429, by which the server says that it did not take it,
// and an upload never: its bytes can be read only once. Every other call, a cancel and an update among them, is repeated after
// a 408, a 429, a 5xx, an error marked retryable, and a lost connection. See [Retry].
//
// Nothing below this rule repeats a request. Go's transport is kept from sending it again where HTTP/2 says that a stream
// was refused or that a connection goes away: proxies say so of requests that their server has had and done. The outcome of
// such a POST is unknown. Where the client is given a transport of another make (see [WithHTTPClient]), that one must send
// a request once.
//
// Redirects are not followed: a 307 would repeat a POST and hand the key to another host. A 3xx is an [*Error].
//
// A run's Output, and every other field of customer-defined shape, is a [json.RawMessage] with the bytes as
// received. No number passes through a float64, and nothing is re-marshalled.
//
// The API may add fields, statuses and types at any time, and its answers drift from its documentation. Unknown fields are
// ignored and kept ([Received]), unknown values of [Status] and [RunType] are carried along, and a field of a type that it
// should not have is taken as absent, unless something is decided by it: see [ParseRun] and [Parse].
//
// Neither the API key nor the request body appears in an error. Texts of the server's go through package clean before they
// are in an [Error] or a [Run]: no credential of a link, control character or endless message gets from there into a log, a
// table or an event. Outputs are never changed, and the Body of an error is as it came.
//
// Deliveries by webhook are the business of package [extend-intake/shared/extend/webhook].
package extend
