package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// payloads downloads what a delivery points to, but only to learn which run it is
// about. The signature covers the link and not what is behind it, so the content
// is never stored: Extend is asked for the run by its id.
type payloads struct {
	// hosts are the domains of Extend and of its storage: a link's host must be one
	// of them or below one.
	hosts  []string
	client *http.Client
}

// maxPayload bounds a download.
const maxPayload = 64 << 20

// errPointer means that a link is not followed, or that what is behind it says no
// run. The log has the reason, and reconcile asks for the result.
var errPointer = errors.New("payload link")

func newPayloads(hosts []string, transport http.RoundTripper) payloads {
	return payloads{hosts: hosts, client: &http.Client{
		Timeout: askTimeout, Transport: transport,
		// A redirect could lead anywhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// linkTransport connects to the internet only. It uses no proxy, for then the address
// could not be checked.
func linkTransport() http.RoundTripper {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: refuseInside}
	return &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second}
}

// inside are the networks that are not on the internet and that netip has no name for.
var inside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),     // this machine, on some systems
	netip.MustParsePrefix("100.64.0.0/10"), // carriers' own, and some clouds' services
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	// Those that any IPv4 address is a part of, inside ones too.
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"), // private addresses of earlier days
}

// refuseInside refuses connections to this machine, its network and the metadata
// service, whatever name they were looked up by.
func refuseInside(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	a := ap.Addr().Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || slices.ContainsFunc(inside, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return fmt.Errorf("%w: its host is at %s, which is not on the internet", errPointer, a)
	}
	return nil
}

// s3Host is a host of S3 alone. Anybody can have a name below amazonaws.com, by which a
// machine, a load balancer or an API of theirs is called.
// https://docs.aws.amazon.com/general/latest/gr/s3.html
var s3Host = regexp.MustCompile(`^([a-z0-9._-]+\.)?s3([.-](dualstack\.|fips\.)*[a-z]{2}(-[a-z]+)+-[0-9])?\.amazonaws\.com$`)

const awsDomain = ".amazonaws.com"

// check refuses a link before any request is made.
func (p payloads) check(link string) error {
	u, err := url.Parse(link)
	switch {
	case err != nil:
		return fmt.Errorf("%w: it is no URL", errPointer) // the error would quote it, and it is a secret
	case u.Scheme != "https":
		return fmt.Errorf("%w: its scheme is %q, not https", errPointer, u.Scheme)
	case u.User != nil, u.Port() != "" && u.Port() != "443":
		return fmt.Errorf("%w: it has a user or a port", errPointer)
	}
	host := strings.ToLower(u.Hostname())
	if !slices.ContainsFunc(p.hosts, func(h string) bool { return host == h || strings.HasSuffix(host, "."+h) }) || strings.HasSuffix("."+host, awsDomain) && !s3Host.MatchString(host) {
		return fmt.Errorf("%w: host %q is not one of %v: if it is Extend's, add it to the parameter PayloadHosts", errPointer, host, p.hosts)
	}
	return nil
}

// runID downloads the content and returns the id of the run that it is.
func (p payloads) runID(ctx context.Context, link string) (string, error) {
	if err := p.check(link); err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return "", fmt.Errorf("%w: it is no URL", errPointer)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL
		}
		return "", fmt.Errorf("%w: %w", errPointer, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%w: its host answers %d; a link lives for an hour", errPointer, resp.StatusCode)
	}
	id, err := findRunID(json.NewDecoder(io.LimitReader(resp.Body, maxPayload)), true)
	if err == nil && id == "" {
		err = errors.New("there is no run behind it")
	}
	if err != nil {
		return "", fmt.Errorf("%w: %v", errPointer, err)
	}
	return id, nil
}

// findRunID reads an object as far as its "id": the run itself or, with envelope, the
// "payload" of a delivery. The rest, which can be many megabytes, is skipped.
func findRunID(d *json.Decoder, envelope bool) (string, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", fmt.Errorf("it is no JSON object (%v)", err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", err
		}
		switch {
		case name == "id":
			var id string
			err := d.Decode(&id)
			return id, err
		case name == "payload" && envelope:
			return findRunID(d, false)
		}
		if err := skip(d); err != nil {
			return "", err
		}
	}
	return "", nil
}

// maxNesting is how deep a value is read over: the decoder remembers each level that is
// open, and 64 MB of brackets are as many.
const maxNesting = 1000

// skip reads over one value without keeping it.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxNesting {
				return fmt.Errorf("it is nested deeper than %d levels", maxNesting)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
