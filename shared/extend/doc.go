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
// Most callers need a run of a processor, which extracts fields from a document, classifies it, or splits it into several.
// [Client.Runs] starts one, a webhook or [RunService.Wait] tells when it has ended, and [Parse] reads the output with its
// confidences and citations. [Client.Processors] creates and publishes processors; [Client.EvaluationSets] has documents with
// known outputs to evaluate them on.
//
// A workflow takes a document through several processors and rules, and perhaps to a person: [Client.WorkflowRuns]. Use one if
// the steps should be changed in the dashboard rather than in code, or if a person has to review results; such a run waits as
// [StatusNeedsReview]. Workflows also take up to a thousand documents in one call.
//
// [Client.ParserRuns] turns a document into text and blocks, for a search index or a model of your own. Processors do not
// need it. [Client.EditRuns] fills in forms.
//
// All of them take a document as a link, which Extend fetches some time after the call, or as a file that was uploaded with
// [Client.Files]. Large documents are streamed in both directions: [FileService.Upload] and, with [ResponseURL],
// [Client.Download].
//
// docs/api.md lists all 44 calls, with what each costs.
//
// # After an error: is there a run?
//
// The API has no idempotency key: a POST that creates something creates it again when it is sent again, and each run is
// billed. So after an error of [RunService.Create], find out first whether there is a run now:
//
//   - [NotSent] reports true: no. The request was refused by this package, or no connection was made.
//   - the error holds an [*Error]: the server answered, with StatusCode. After a 429 and most of the 4xx there is no run.
//     After a 408 or a 5xx the outcome is unknown.
//   - anything else: the outcome is unknown. The connection broke, the context ended while waiting, or the answer to a 200
//     could not be read or understood. The latter is an [*AnswerError], which keeps the bytes.
//
// If the outcome is unknown, search for the run instead of sending the request again: a run echoes its Metadata, and
// [RunService.List] finds runs by part of their file name. An upload ([FileService.Upload]) starts no run and costs
// nothing, so its unknown outcome is harmless.
//
// # What is promised
//
// A call that creates something or costs something is retried only after a 429, which says that the server did not accept
// it. An upload is never retried, since its content can be read only once. Every other call, such as a cancel or an update, is
// retried after a 408, a 429, a 5xx, an error marked retryable, and a lost connection. See [Retry].
//
// No layer below retries. Go's transport is prevented from sending a request again after HTTP/2 refuses a stream or closes a
// connection: proxies do that with requests that their server has carried out. The outcome of such a POST is unknown. A
// transport of your own (see [WithHTTPClient]) must send each request once.
//
// Redirects are not followed: a 307 would repeat a POST and send the key to another host. A 3xx is an [*Error].
//
// A run's Output, and every other field of customer-defined shape, is a [json.RawMessage] with the bytes as
// received. No number passes through a float64, and nothing is re-marshalled.
//
// The API may add fields, statuses and types at any time, and its answers drift from its documentation. Unknown fields are
// ignored and kept ([Received]), unknown values of [Status] and [RunType] are carried along, and a field of a type that it
// should not have is taken as absent, unless a decision depends on it: see [ParseRun] and [Parse].
//
// Neither the API key nor the request body appears in an error. Texts of the server's go through package clean before they
// are in an [Error] or a [Run]: no credential of a link, control character or endless message gets from there into a log, a
// table or an event. Outputs are never changed, and the Body of an error is as it came.
//
// Package [extend-intake/shared/extend/webhook] verifies and reads webhooks.
package extend
