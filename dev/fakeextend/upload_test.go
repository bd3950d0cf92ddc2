package fakeextend_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"extend-intake/dev/fakeextend"
	"extend-intake/shared/extend"
)

// The client's upload, and a run of what was uploaded.
func TestUpload(t *testing.T) {
	t.Parallel()
	fake, base := fakeextend.NewServer(t, fakeextend.Options{
		APIKey: "sk_test", Processors: []fakeextend.Processor{{ID: "dp_a", Type: fakeextend.Extract}}, MaxFileBytes: 1 << 20,
	})
	client, err := extend.NewClient(extend.StaticKey("sk_test"), extend.WithBaseURL(base))
	if err != nil {
		t.Fatal(err)
	}
	const name = `Rechnung "7" – 納品書.pdf`
	content := strings.Repeat("x", 1<<20)
	f, err := client.Files.Upload(t.Context(), extend.UploadFileRequest{Name: name, Size: int64(len(content)), Content: strings.NewReader(content)})
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != name || f.Type != "PDF" || !strings.HasPrefix(f.ID, "file_") {
		t.Errorf("%+v", f)
	}
	run, err := client.Runs.Create(t.Context(), extend.CreateRunRequest{ProcessorID: "dp_a", File: &extend.RunFile{FileID: f.ID}})
	if err != nil {
		t.Fatal(err)
	}
	if err := fake.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _ := fake.Run(run.ID)
	if got.Status != "PROCESSED" || got.FileID != f.ID || got.FileName != name || got.FetchedBytes != 1<<20 || got.Fetches != 0 {
		t.Errorf("%+v", got)
	}
	_, err = client.Files.Upload(t.Context(), extend.UploadFileRequest{Name: name, Size: 1<<20 + 1, Content: strings.NewReader(content + "x")})
	if err == nil || !strings.Contains(err.Error(), "400 FILE_SIZE_TOO_LARGE") {
		t.Errorf("a file over the limit: %v", err)
	}
}

// What the real one would not take, the fake must not take either.
func TestUploadIsStrict(t *testing.T) {
	t.Parallel()
	_, base := fakeextend.NewServer(t, fakeextend.Options{APIKey: "sk_test", Processors: []fakeextend.Processor{{ID: "dp_a", Type: fakeextend.Extract}}})
	part := func(disposition, content string) string {
		return "--b\r\nContent-Disposition: " + disposition + "\r\n\r\n" + content + "\r\n"
	}
	good := part(`form-data; name="file"; filename="a.pdf"`, "x")
	for _, c := range []struct {
		name, contentType, body string
		want                    int
	}{
		{"good", "multipart/form-data; boundary=b", good + "--b--\r\n", 200},
		{"JSON", "application/json", `{}`, 400},
		{"no boundary", "multipart/form-data", good + "--b--\r\n", 400},
		{"empty", "multipart/form-data; boundary=b", "", 400},
		{"another part", "multipart/form-data; boundary=b", part(`form-data; name="document"; filename="a.pdf"`, "x") + "--b--\r\n", 400},
		{"two parts", "multipart/form-data; boundary=b", good + good + "--b--\r\n", 400},
		{"no filename", "multipart/form-data; boundary=b", part(`form-data; name="file"`, "x") + "--b--\r\n", 400},
		{"a slash in the filename", "multipart/form-data; boundary=b", part(`form-data; name="file"; filename="a/b.pdf"`, "x") + "--b--\r\n", 400},
		{"no closing line", "multipart/form-data; boundary=b", good, 400},
		{"cut in the content", "multipart/form-data; boundary=b", good[:len(good)-3], 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/files/upload", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer sk_test")
			req.Header.Set("X-Extend-Api-Version", "2025-04-21")
			req.Header.Set("Content-Type", c.contentType)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.want {
				t.Error(fmt.Sprint(resp.StatusCode, ", want ", c.want))
			}
		})
	}
}
