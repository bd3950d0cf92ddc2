package fakeextend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	fetchTimeout         = time.Minute
	failedToProcessFile  = "FAILED_TO_PROCESS_FILE"
	postProcessingFailed = "POST_PROCESSING_FAILURE"
	corruptFile          = "CORRUPT_FILE"
)

// process takes a run from its acceptance to its end, and to its second end if
// it has one.
func (s *Server) process(r *run) {
	s.workOn(r)
	info := s.info(r)
	if len(info.Deliveries) == 0 {
		r.tell() // there will be no delivery to wait for
	}
	lag := time.Duration(0)
	switch info.Status {
	case processed:
		lag = r.fate.OutputLag
	case failed:
		lag = r.fate.Recovery
	}
	if lag > 0 && pause(s.ctx, lag) {
		_ = s.CompleteRun(r.id) // unless there is nothing to complete
	}
}

// workOn takes a run to its end.
func (s *Server) workOn(r *run) {
	if !pause(r.ctx, r.fate.FetchDelay) {
		return
	}
	c, err := s.fetch(r)
	if r.ctx.Err() != nil {
		return // cancelled, deleted or closed meanwhile
	}
	if err != nil {
		s.step(Step{Kind: FileNotFetched, RunID: r.id, FileName: r.fileName, Detail: err.Error()})
		s.conclude(r, failed, nil, failedToProcessFile, fmt.Sprintf("The file could not be downloaded from the provided URL (%v).", err))
		return
	}
	s.mu.Lock()
	r.content = c
	r.file.fill(c)
	s.mu.Unlock()
	if r.fileURL != "" {
		s.step(Step{Kind: FileFetched, RunID: r.id, FileName: r.fileName, Bytes: c.size, Status: http.StatusOK})
	}
	if c.size == 0 {
		s.conclude(r, failed, nil, corruptFile, "The file is empty.")
		return
	}

	select {
	case <-r.ticket.slot:
	case <-r.ctx.Done():
		return
	}
	if !pause(r.ctx, r.fate.Pending) || !s.start(r) || !s.dwell(r) {
		return
	}
	switch r.fate.End {
	case EndFailed:
		s.conclude(r, failed, nil, cmp.Or(r.fate.FailureReason, "INTERNAL_ERROR"), cmp.Or(r.fate.FailureMessage, "The run failed, as it was told to."))
	case EndCancelled:
		_ = s.CancelRun(r.id) // unless somebody was faster
	case EndDeleted:
		_ = s.DeleteRun(r.id)
	default:
		output, err := s.output(r)
		switch {
		case err != nil:
			s.conclude(r, failed, nil, postProcessingFailed, err.Error())
		case r.fate.OutputLag > 0:
			s.conclude(r, processed, nil, "", "")
		default:
			s.conclude(r, processed, output, "", "")
		}
	}
}

// start makes a PENDING run PROCESSING, and reports whether the run lives.
func (s *Server) start(r *run) bool {
	s.mu.Lock()
	if r.ctx.Err() != nil {
		s.mu.Unlock()
		return false
	}
	waited := r.status == pending
	if waited {
		r.turn()
		r.status = processing
	}
	s.mu.Unlock()
	if waited {
		s.step(Step{Kind: RunStarted, RunID: r.id, FileName: r.fileName})
	}
	return true
}

// dwell lets the processing time pass.
func (s *Server) dwell(r *run) bool {
	if r.fate.End == EndNever {
		select {
		case <-r.finish:
			return r.ctx.Err() == nil
		case <-r.ctx.Done():
			return false
		}
	}
	if s.opts.Processing == nil {
		return r.ctx.Err() == nil
	}
	timer := time.NewTimer(s.opts.Processing(s.info(r)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.finish:
	case <-r.ctx.Done():
	}
	return r.ctx.Err() == nil
}

// conclude ends a run by the fake's own doing, and announces it.
func (s *Server) conclude(r *run, status string, output []byte, reason, message string) {
	s.mu.Lock()
	if r.ctx.Err() != nil {
		s.mu.Unlock()
		return // cancelled or deleted at the last moment
	}
	s.end(r, status)
	r.output, r.failureReason, r.failureMessage = output, reason, message
	ev := s.announce(r)
	s.mu.Unlock()
	s.step(Step{Kind: RunFinished, RunID: r.id, FileName: r.fileName, Detail: strings.TrimSpace(status + " " + reason)})
	s.launch(ev)
}

// end stops a run's work. The caller holds mu.
func (s *Server) end(r *run, status string) {
	r.turn()
	r.status = status
	s.leave(r.ticket)
	r.cancel()
}

// A ticket is a run's place in the queue of what the plan does not let start yet.
type ticket struct {
	priority int
	slot     chan struct{} // closed when the plan lets the run start
}

// leave takes a run out of the queue, if it is there. The caller holds mu.
func (s *Server) leave(t *ticket) {
	s.waiting = slices.DeleteFunc(s.waiting, func(w *ticket) bool { return w == t })
}

// admit gives a run its slot if the plan has one left, or else puts it in the
// queue. The caller holds mu.
func (s *Server) admit(t *ticket, now time.Time) bool {
	if len(s.waiting) == 0 && s.throughput(now) == 0 {
		s.giveSlot(t, now)
		return true
	}
	// Behind all runs of the same priority, or a lower value.
	at := slices.IndexFunc(s.waiting, func(w *ticket) bool { return w.priority > t.priority })
	if at < 0 {
		at = len(s.waiting)
	}
	s.waiting = slices.Insert(s.waiting, at, t)
	if !s.draining {
		s.draining = true
		s.background(s.drain)
	}
	return false
}

// throughput returns how long the plan lets the next file wait. The caller
// holds mu.
func (s *Server) throughput(now time.Time) time.Duration {
	if s.opts.FilesPerMinute == 0 {
		return 0
	}
	s.starts = since(s.starts, now.Add(-time.Minute))
	if len(s.starts) < s.opts.FilesPerMinute {
		return 0
	}
	return s.starts[0].Add(time.Minute).Sub(now)
}

func (s *Server) giveSlot(t *ticket, now time.Time) {
	if s.opts.FilesPerMinute > 0 {
		s.starts = append(s.starts, now)
	}
	close(t.slot)
}

// drain serves the queue until it is empty.
func (s *Server) drain() {
	for {
		s.mu.Lock()
		now := time.Now()
		for len(s.waiting) > 0 && s.throughput(now) == 0 {
			next := s.waiting[0]
			s.waiting = s.waiting[1:]
			s.giveSlot(next, now)
		}
		if len(s.waiting) == 0 {
			s.draining = false
			s.mu.Unlock()
			return
		}
		wait := s.throughput(now)
		s.mu.Unlock()
		if !pause(s.ctx, wait) {
			return
		}
	}
}

// fetch reads the file once, with a plain GET, and keeps what the output tells
// of it. Its errors hold no URL.
func (s *Server) fetch(r *run) (*content, error) {
	switch {
	case r.given != nil:
		return r.given, nil
	case r.uploaded != nil:
		return s.contentOf(r.uploaded)
	case r.fileURL == "":
		return inspect(r.fileName, []byte(r.rawText)), nil
	}
	s.mu.Lock()
	r.fetches++
	r.fetchedAt = time.Now()
	s.mu.Unlock()
	return s.download(r.ctx, r.fileName, r.fileURL)
}

// download reads what is behind a link.
func (s *Server) download(ctx context.Context, name, link string) (*content, error) {
	in := newInspector(name)
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, errors.New("invalid URL")
	}
	if s.opts.RewritesPaths {
		rewritePath(req.URL)
	}
	req.Header.Set("User-Agent", "fakeextend")
	// The bytes as they are stored, not as a transport would unpack them.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := s.fetching.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	n, err := io.Copy(in, io.LimitReader(resp.Body, s.opts.MaxFileBytes+1))
	if err != nil {
		return nil, withoutURL(err)
	}
	if n > s.opts.MaxFileBytes {
		return nil, fmt.Errorf("larger than %d bytes", s.opts.MaxFileBytes)
	}
	return in.content(), nil
}

// rewritePath resolves the segments of a path that mean directories.
func rewritePath(u *url.URL) {
	clean := path.Clean("/" + u.EscapedPath())
	if strings.HasSuffix(u.Path, "/") && clean != "/" {
		clean += "/"
	}
	u.Path, _ = url.PathUnescape(clean) // it was escaped well before
	u.RawPath = clean
}

// withoutURL takes the URL out of an error: file URLs and webhook URLs are
// secrets.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("timeout")
	}
	return err
}
