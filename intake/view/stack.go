package view

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"extend-intake/shared/ledger"
)

// Stack is what the page shows. Its functions are called from several goroutines. Those that
// are marked as optional may be nil: the page then says what it can't show.
type Stack struct {
	// Name, Account and Region are shown on top of every page.
	Name, Account, Region string
	// Routes are offered as filters.
	Routes []string

	Status    func(context.Context) (*Status, error)
	Documents func(context.Context, Query) (*List, error)
	// Document returns a record by its document id. Its error wraps [ledger.ErrNotFound] or, with
	// the record as far as it can be read, [ledger.ErrRecord].
	Document func(ctx context.Context, id string) (*ledger.Record, error)
	// Output returns the stored output, inline or from the bucket; nil if there is none.
	// Its error wraps [ErrGone] if the bucket has it no more.
	Output func(context.Context, *ledger.Record) (json.RawMessage, error)
	// Outputs returns the inline outputs of the documents with these ids, for the list's
	// lowest confidences. Optional.
	Outputs func(ctx context.Context, ids []string) (map[string]json.RawMessage, error)
	// Original opens the very version of the object that was read. Its error wraps [ErrGone]
	// or [ErrArchived] where that is the reason.
	Original func(context.Context, *ledger.Record) (*Original, error)

	// Converted opens the PDF that Extend made of an Office file. Optional.
	Converted func(context.Context, *ledger.Record) (*Original, error)
	// Run asks Extend for a run. Optional.
	Run func(ctx context.Context, runID string) (*Run, error)
	// Logs returns what the functions logged about a document, the earliest first. Optional.
	Logs func(context.Context, *ledger.Record) ([]LogLine, error)
	// DeadLetters looks into both dead-letter queues. Optional.
	DeadLetters func(context.Context) ([]DeadLetter, error)
	// Cost says, in one line, what reprocessing these documents would cost. Optional.
	Cost func(context.Context, []*ledger.Record) (string, error)
	// Reprocess has a document read again, as the attempt after rec's. Nil: the page shows the
	// command instead.
	Reprocess func(ctx context.Context, rec *ledger.Record, why string) error
}

var (
	// ErrGone means that the object, or that version of it, is not in its bucket any more.
	ErrGone = errors.New("it is no longer in its bucket")
	// ErrArchived means that the object is in an archive storage class.
	ErrArchived = errors.New("it is archived: restore it first")
)

// Query chooses documents. Its zero value chooses all of them: first those on the way, then
// those that have ended, the latest first.
type Query struct {
	State  ledger.State
	Route  string
	Reason string // of a document that has ended without an output
	Prefix string // of the key, or s3://bucket/prefix
	// Since and Until bound when a document ended or, while it is on the way, its next check.
	Since, Until time.Time
	// Limit is how many are wanted; After is the Next of the List before.
	Limit int
	After string
}

// List is one page of a listing.
type List struct {
	Rows []Row
	// Next continues the listing; empty after its last page. There may be more although Rows is
	// short or empty: the filters leave out what was read.
	Next string
}

// Row is a document of a listing.
type Row struct {
	Record *ledger.Record
	// Problem says what is wrong with a record that can't be understood.
	Problem string
}

// Status is the state of the stack. What could not be asked for is left zero and named in Problems.
type Status struct {
	// States has how many documents are in each state. About: see CountsAbout.
	States map[ledger.State]int
	// CountsAbout says how exact States is, such as "ended: the last 24 hours".
	CountsAbout string
	// Queued is how many messages wait in the upload queue, -1 if unknown; DrainIn is how long
	// they take at the plan's rate.
	Queued  int
	DrainIn time.Duration
	// PerMinute is the plan's rate, in words.
	PerMinute string
	// Credits were spent in the last 24 hours, a decimal number; empty if unknown.
	Credits string
	// UploadLetters and AnnouncementLetters are how many messages the dead-letter queues hold, -1 if unknown.
	UploadLetters, AnnouncementLetters int
	// Paused says why submitting is paused; empty if it is not.
	Paused   string
	Alarms   []Alarm
	Problems []string
}

// Alarm is an alarm that is on.
type Alarm struct {
	Name, Meaning, Do string
	Since             time.Time
}

// Original is an object to be read once and closed.
type Original struct {
	Body io.ReadCloser
	Size int64 // -1 if unknown
}

// Run is what Extend says of a run.
type Run struct {
	Status                        string
	Output                        json.RawMessage
	InitialOutput, ReviewedOutput json.RawMessage // before and after the review; nil if there was none
}

// LogLine is one line of a function's log.
type LogLine struct {
	Time                     time.Time
	Function, Level, Message string
	Fields                   string // the rest of the line
}

// DeadLetter is a message in a dead-letter queue.
type DeadLetter struct {
	Queue, ID, Reason, DocumentID, Body, Do string
	Since                                   time.Time
}
