package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

func TestLinksThatAreNotFollowed(t *testing.T) {
	t.Parallel()
	p := newPayloads([]string{"extend.ai", "amazonaws.com"}, linkTransport())
	p.client.Transport = refuseAll{t}
	for link, want := range map[string]string{
		"http://payloads.extend.ai/x":                   "scheme",
		"ftp://payloads.extend.ai/x":                    "scheme",
		"file:///etc/passwd":                            "scheme",
		"//payloads.extend.ai/x":                        "scheme",
		"https://127.0.0.1/x":                           "is not one of",
		"https://[::1]/x":                               "is not one of",
		"https://169.254.169.254/latest/meta-data/":     "is not one of",
		"https://localhost/x":                           "is not one of",
		"https://evil.example/x":                        "is not one of",
		"https://extend.ai.evil.example/x":              "is not one of",
		"https://notextend.ai/x":                        "is not one of",
		"https://extend.ai@evil.example/x":              "user or a port",
		"https://payloads.extend.ai:8443/x":             "user or a port",
		"https://payloads.extend.ai/\x00?X-Secret=hush": "no URL",
		"": "scheme",
	} {
		_, err := p.runID(t.Context(), link)
		if !errors.Is(err, errPointer) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", link, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("the error shows the link: %v", err)
		}
	}
}

// A name below amazonaws.com may be that of anybody's machine: of those only S3's are followed.
func TestHostsOfS3(t *testing.T) {
	t.Parallel()
	p := newPayloads([]string{"extend.ai", "extend.app", "amazonaws.com"}, refuseAll{t})
	for host, want := range map[string]bool{
		"extend-payloads.s3.amazonaws.com": true, "a.b.s3.us-west-2.amazonaws.com": true, "s3.eu-central-1.amazonaws.com": true, "s3.amazonaws.com": true,
		"b.s3-us-west-2.amazonaws.com": true, "b.s3.dualstack.us-gov-west-1.amazonaws.com": true, "payloads.extend.app": true,
		"ec2-203-0-113-7.us-west-2.compute.amazonaws.com": false, "evil-1.us-west-2.elb.amazonaws.com": false, "abc.execute-api.us-east-1.amazonaws.com": false,
		"abc.lambda-url.us-east-1.amazonaws.com": false, "b.s3-website-us-east-1.amazonaws.com": false, "b.s3-website.us-east-1.amazonaws.com": false,
		"amazonaws.com": false, "evils3.amazonaws.com": false, "s3.evil.us-west-2.compute.amazonaws.com": false, "sqs.us-east-1.amazonaws.com": false,
		"s3.evil-1.us-west-2.elb.amazonaws.com": false, "b.s3.amazonaws.com.evil.example": false, "b.s3-accesspoint.us-west-2.amazonaws.com": false,
	} {
		if err := p.check("https://" + host + "/x"); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
	// Whatever is configured: also a name of somebody's below it.
	if err := newPayloads([]string{"us-west-2.amazonaws.com"}, refuseAll{t}).check("https://evil.us-west-2.amazonaws.com/x"); err == nil {
		t.Error("a narrower domain opens all of it")
	}
}

// TestBracketsBehindALink holds that the memory for what is behind a link is bounded.
func TestBracketsBehindALink(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"a list":     io.MultiReader(strings.NewReader(`{"output":`), io.LimitReader(repeat('['), 64<<20)),
		"a document": io.LimitReader(repeat('['), 64<<20),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := findRunID(json.NewDecoder(body), true)
		runtime.ReadMemStats(&after)
		if err == nil || after.TotalAlloc-before.TotalAlloc > 100<<20 {
			t.Errorf("%s: %v, %d MB of memory", name, err, (after.TotalAlloc-before.TotalAlloc)>>20)
		}
	}
}

type repeat byte

func (r repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

type refuseAll struct{ t *testing.T }

func (r refuseAll) RoundTrip(req *http.Request) (*http.Response, error) {
	r.t.Errorf("a request was made to %s", req.URL.Host)
	return nil, errors.New("refused")
}

// A name that is allowed can point inside: only the address that is dialled counts.
func TestAddressesThatAreNotDialled(t *testing.T) {
	t.Parallel()
	for address, allowed := range map[string]bool{
		"127.0.0.1:443": false, "[::1]:443": false, "169.254.169.254:443": false, "10.1.2.3:443": false, "192.168.0.1:443": false,
		"172.16.0.1:443": false, "[fd00::1]:443": false, "[fe80::1]:443": false, "0.0.0.0:443": false, "[::ffff:127.0.0.1]:443": false,
		"0.0.0.1:443": false, "0.255.1.1:443": false, "[::127.0.0.1]:443": false, "[64:ff9b:1::7f00:1]:443": false, "[64:ff9b:1:ffff::]:443": false,
		"[2001::1]:443": false, "[2001:0:ffff::1]:443": false, "[fec0::1]:443": false, "[feff::1]:443": false, "[2001:1::1]:443": true, "[64:ff9b:2::1]:443": true, "1.0.0.1:443": true,
		"224.0.0.1:443": false, "100.64.1.1:443": false, "[64:ff9b::7f00:1]:443": false, "240.0.0.1:443": false, "203.0.113.7:443": true, "[2001:db8::1]:443": true,
	} {
		if err := refuseInside("tcp", address, nil); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
	p := newPayloads([]string{"localhost"}, linkTransport())
	if _, err := p.runID(t.Context(), "https://localhost/x"); err == nil || !strings.Contains(err.Error(), "not on the internet") {
		t.Errorf("a name that points inside: %v", err)
	}
}

// served returns payloads whose every host is a server here, with its certificate.
func served(t *testing.T, h http.HandlerFunc) payloads {
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	p := newPayloads([]string{"example.com"}, linkTransport())
	transport := server.Client().Transport.(*http.Transport).Clone()
	address := netip.MustParseAddrPort(server.Listener.Addr().String())
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address.String())
	}
	p.client.Transport = transport
	return p
}

func TestRunBehindALink(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status       int
		body         string
		id, mistaken string
	}{
		"the run":               {200, `{"object":"document_processor_run","files":[{"id":"file_1"}],"id":"dpr_1","output":{"id":"x"}}`, "dpr_1", ""},
		"a whole delivery":      {200, `{"eventId":"event_1","eventType":"processor_run.processed","payload":{"id":"dpr_1"}}`, "dpr_1", ""},
		"the end is never read": {200, `{"id":"dpr_1", and so on for 5 GB`, "dpr_1", ""},
		"expired":               {403, `<Error/>`, "", "answers 403"},
		"elsewhere":             {302, ``, "", "answers 302"},
		"no id":                 {200, `{"object":"document_processor_run","output":{"id":"x"}}`, "", "no run behind it"},
		"not JSON":              {200, `<html>`, "", "no JSON object"},
		"cut off":               {200, `{"output":{"a":`, "", "payload link"},
		"an id that is none":    {200, `{"id":7}`, "", "payload link"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			p := served(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				w.Header().Set("Location", "https://example.com/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			id, err := p.runID(t.Context(), "https://payloads.example.com/x?secret")
			if id != tt.id || (err == nil) != (tt.mistaken == "") || err != nil && (!errors.Is(err, errPointer) || !strings.Contains(err.Error(), tt.mistaken)) {
				t.Errorf("%q, %v", id, err)
			}
			if requests.Load() != 1 {
				t.Errorf("%d requests", requests.Load())
			}
		})
	}
}

// A body without end is cut at the cap.
func TestEndlessPayload(t *testing.T) {
	t.Parallel()
	p := served(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"output":[`))
		chunk := []byte(strings.Repeat(`"0123456789abcdef",`, 4096))
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	if id, err := p.runID(t.Context(), "https://example.com/x"); err == nil {
		t.Errorf("%q", id)
	}
}
