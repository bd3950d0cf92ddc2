package fakeextend_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"extend-intake/dev/fakeextend"
)

// Every POST that arrives is there, with what was answered and made.
func TestPosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Fault = fakeextend.Script(fakeextend.RouteCreate,
				fakeextend.Fault{}, fakeextend.Fault{Status: 429}, fakeextend.Fault{Cut: true}, fakeextend.Fault{Cut: true, After: true},
				fakeextend.Fault{Answer: &fakeextend.Answer{Status: 404}}, fakeextend.Fault{Delay: time.Minute}, fakeextend.Fault{Status: 504, After: true})
		})
		post := func(body string, adjust ...func(*http.Request)) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if resp, err := w.send(ctx, http.MethodPost, "/processor_runs", body, adjust...); err == nil {
				resp.Body.Close()
			}
		}
		body := func(i int) string {
			return fmt.Sprintf(`{"processorId":"dp_extract","file":{"fileName":"%d.pdf","fileUrl":"https://files.example.com/a.pdf"},"metadata":{"i":%d}}`, i, i)
		}
		for i := range 7 {
			post(body(i))
		}
		post(`{"processorId":"dp_extract"}`)
		post(body(8), func(r *http.Request) { r.Header.Del("Authorization") })
		time.Sleep(time.Hour)
		synctest.Wait()

		var got []string
		for _, p := range w.fake.Posts() {
			run, _ := w.fake.Run(p.RunID)
			got = append(got, fmt.Sprintf("%v %s %s %d %q", p.At.Sub(start), p.FileName, p.Metadata, p.Status, run.FileName))
			eq(t, "whole", p.Whole, true)
		}
		eq(t, "POSTs", strings.Join(got, "\n"), strings.Join([]string{
			`0s 0.pdf {"i":0} 200 "0.pdf"`,
			`0s 1.pdf {"i":1} 429 ""`,
			`0s 2.pdf {"i":2} 0 ""`,
			`0s 3.pdf {"i":3} 0 "3.pdf"`,
			`0s 4.pdf {"i":4} 404 ""`,
			`0s 5.pdf {"i":5} 200 "5.pdf"`, // its sender had gone
			`10s 6.pdf {"i":6} 504 "6.pdf"`,
			`10s   400 ""`,
			`10s 8.pdf {"i":8} 401 ""`,
		}, "\n"))
		eq(t, "paid", w.fake.Accepted(), 4)
		first := w.fake.Posts()[0]
		eq(t, "processor", first.ProcessorID, extractor)
		eq(t, "link", first.FileURL, "https://files.example.com/a.pdf")
	})
}

// A body that never came whole is a POST too.
func TestPostThatIsCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.do(http.MethodPost, "/processor_runs", `{"processorId":"dp_extract","rawText":"`+strings.Repeat("x", 11<<20)+`"}`)
	posts := w.fake.Posts()
	eq(t, "POSTs", len(posts), 1)
	eq(t, "whole", posts[0].Whole, false)
	eq(t, "status", posts[0].Status, 400)
}

// A firewall refuses one file for ever, on all its ways, and lets others pass.
func TestFirewall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fakeextend.Options) { o.Fault = fakeextend.Firewall("union select") })
	const name = "on UNION select.pdf"
	blocked := func(method, path, body string, adjust ...func(*http.Request)) bool {
		t.Helper()
		status, header, answer := w.do(method, path, body, adjust...)
		if status == 200 {
			return false
		}
		eq(t, "status", status, 403)
		eq(t, "type", header.Get("Content-Type"), "text/html; charset=utf-8")
		eq(t, "HTML", strings.HasPrefix(string(answer), "<!DOCTYPE html>"), true)
		return true
	}
	upload := func(name string) bool {
		t.Helper()
		var form bytes.Buffer
		m := multipart.NewWriter(&form)
		part, err := m.CreateFormFile("file", name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(part, strings.Repeat("union select ", 2000)) // the content is not looked at
		_ = m.Close()
		return blocked(http.MethodPost, "/files/upload", form.String(), func(r *http.Request) { r.Header.Set("Content-Type", m.FormDataContentType()) })
	}
	post := func(name string) string {
		return fmt.Sprintf(`{"processorId":"dp_extract","file":{"fileName":%q,"fileUrl":"https://files.example.com/a.pdf"}}`, name)
	}
	for range 3 {
		eq(t, "POST", blocked(http.MethodPost, "/processor_runs", post(name)), true)
		eq(t, "upload", upload(name), true)
		eq(t, "list", blocked(http.MethodGet, query("fileNameContains", name), ""), true)
		eq(t, "other POST", blocked(http.MethodPost, "/processor_runs", post("select.pdf")), false)
		eq(t, "other upload", upload("a.pdf"), false)
		eq(t, "other list", blocked(http.MethodGet, query("fileNameContains", "union"), ""), false)
	}
	eq(t, "paid", w.fake.Accepted(), 3)
	eq(t, "arrived", len(w.fake.PostsOf("UNION")), 3)
}

// One file fails each time it comes, in one of three ways; others are well.
func TestForFile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault fakeextend.Fault
		paid  int
	}{
		{"500 before a run is made", fakeextend.Fault{Status: 500}, 0},
		{"500 after a run was made", fakeextend.Fault{Status: 500, After: true}, 3},
		{"cut", fakeextend.Fault{Cut: true}, 0},
	} {
		w := newWorld(t, func(o *fakeextend.Options) { o.Fault = fakeextend.ForFile(fakeextend.RouteCreate, "b.txt", test.fault) })
		for range 3 {
			if resp, err := w.send(t.Context(), http.MethodPost, "/processor_runs", file(extractor, "/b.txt")); err == nil {
				resp.Body.Close()
				eq(t, test.name+": status", resp.StatusCode, 500)
			} else {
				eq(t, test.name+": cut", test.fault.Cut, true)
			}
			w.create(file(extractor, "/a.pdf"))
		}
		paid := w.fake.Paid(func(r fakeextend.RunInfo) string { return r.FileName })
		eq(t, test.name+": paid for the one", paid["b.txt"], test.paid)
		eq(t, test.name+": paid for the other", paid["a.pdf"], 3)
		eq(t, test.name+": POSTs of the one", len(w.fake.PostsOf("b.txt")), 3)
	}

	// By the name of a run's file, where the call has only its id.
	w := newWorld(t, func(o *fakeextend.Options) {
		o.Fault = fakeextend.ForFile(fakeextend.RouteGet, "b.txt", fakeextend.Fault{Status: 503})
	})
	a, _ := w.create(file(extractor, "/a.pdf"))
	b, _ := w.create(file(extractor, "/b.txt"))
	w.get(a)
	status, _, _ := w.do(http.MethodGet, "/processor_runs/"+b, "")
	eq(t, "GET of the one", status, 503)
}

func TestTagEchoOfOneKind(t *testing.T) {
	t.Parallel()
	echo := func(change fakeextend.Change) string {
		w := newWorld(t, func(o *fakeextend.Options) {
			o.Fault = fakeextend.Script(fakeextend.RouteCreate, fakeextend.Fault{Fate: fakeextend.Fate{Changes: fakeextend.Everywhere(change)}})
		})
		_, run := w.create(`{"processorId":"dp_silent","rawText":"x","metadata":{"attempt":1,"key":"Zürich"}}`)
		return string(run["metadata"])
	}
	for _, test := range []struct {
		change fakeextend.Change
		want   string
	}{
		{fakeextend.Within("metadata", fakeextend.Respell("attempt", fakeextend.AsFloat)), `{"attempt":1.0,"key":"Zürich"}`},
		{fakeextend.Within("metadata", fakeextend.RespellAll(fakeextend.AsText)), `{"attempt":"1","key":"Zürich"}`},
		{fakeextend.Within("metadata", fakeextend.Set("attempt", "null")), `{"attempt":null,"key":"Zürich"}`},
		{fakeextend.Within("metadata", fakeextend.Drop("attempt")), `{"key":"Zürich"}`},
		{fakeextend.Respell("metadata", fakeextend.Decomposed), `{"attempt":1,"key":"Zu` + "\u0308" + `rich"}`},
		{fakeextend.Respell("metadata", fakeextend.AsText), `"{\"attempt\":1,\"key\":\"Zürich\"}"`},
		{fakeextend.Drop("metadata"), ``},
	} {
		eq(t, test.change.Name, echo(test.change), test.want)
	}
}
