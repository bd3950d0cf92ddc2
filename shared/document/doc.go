// Package document holds the plain values of the intake: what an upload is, how
// it is named, and how a run at Extend is tied to it.
//
// # From an upload to a document
//
// A [Source] is one version of one S3 object. What we do with it is a document,
// whose id is derived from the Source and from nothing else, so that a repeated
// upload event, a second function instance or a rebuilt table all arrive at the same id:
//
//	uploads, err := document.ParseUploadEvents(body) // any shape that S3 or EventBridge sends
//	for _, u := range uploads {
//		id := u.Source.DocumentID() // doc_ and 26 letters or digits
//	}
//
// # From a document to a run, and back
//
// A document may be read more than once; each reading is an attempt, numbered
// from 1. Every run carries its document in two places. The [Tag] is the run's
// metadata, by which a webhook delivery finds its document. The token
// ([Token]) is a part of the run's file name, by which a run can be
// found when the answer to its creation was lost: runs can be searched by file
// name and not by metadata.
//
// # From a key to a processor
//
// A [Route] ties keys to the processor that reads them. [ParseRoutes] refuses
// [Routes] of which two could match one key, so that their order does not matter.
//
// Everything here is a value or a pure function; the package imports the
// standard library, and for Unicode's form NFC golang.org/x/text.
package document
