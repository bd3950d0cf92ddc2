// Package guard stands in front of every server that the development commands start, so
// that nobody but the user who started it is answered:
//
//	key := guard.NewKey()
//	server, err := guard.Serve(key.Signed(handler, nil))
//
// A server on the loopback interface is not private. A web page in a browser on this
// machine can send requests to it, also with a name that resolves to 127.0.0.1 (DNS
// rebinding), and so can every other user of the machine and every container. [Local]
// refuses what comes from a browser or was meant for another host. [Key.Signed] and
// [Secret] ask for something that only the commands of this run know.
package guard

import (
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"
)

// hosts are the names by which programs and containers call this machine.
var hosts = []string{"127.0.0.1", "localhost", "[::1]", "host.docker.internal"}

// Local answers 403 to requests of browsers, which have an Origin or Sec-Fetch-Site, and
// to those whose Host is not this machine with the port that the server listens on. All
// others go to next.
func Local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case len(r.Header.Values("Origin")) > 0 || len(r.Header.Values("Sec-Fetch-Site")) > 0:
			refuse(w, "requests of browsers are refused")
		case !local(r):
			refuse(w, "requests for another host are refused")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// local reports whether a request's Host is a name of this machine, or the very address
// that the server listens on, with its port.
func local(r *http.Request) bool {
	address, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	if r.Host == address.String() {
		return true
	}
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return false
	}
	name, ok := strings.CutSuffix(r.Host, ":"+port)
	return ok && slices.Contains(hosts, strings.ToLower(name))
}

func refuse(w http.ResponseWriter, why string) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.Error(w, "extend-intake's guard: "+why, http.StatusForbidden)
}

// Secret answers 403 to requests whose path does not begin with "/" and the secret. From
// the others that is removed before they go to next. It is for clients which can be given
// an address, but no header.
func Secret(secret string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if subtle.ConstantTimeCompare([]byte(first), []byte(secret)) != 1 {
			refuse(w, "the secret of this run is missing")
			return
		}
		http.StripPrefix("/"+secret, next).ServeHTTP(w, r)
	})
}

// A Server is one that was started by [Serve].
type Server struct {
	URL    string // http://127.0.0.1:port
	server *http.Server
}

// Serve serves h behind [Local], on a free port of the loopback interface, until Close.
func Serve(h http.Handler) (*Server, error) {
	listener, err := Listen()
	if err != nil {
		return nil, err
	}
	return ServeOn(listener, h), nil
}

// Listen takes a free port of the loopback interface, for [ServeOn].
func Listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// ServeOn is Serve on a listener that is there already. It ends with the server.
func ServeOn(listener net.Listener, h http.Handler) *Server {
	s := &Server{URL: "http://" + listener.Addr().String(), server: &http.Server{Handler: Local(h), ReadHeaderTimeout: 10 * time.Second}}
	go s.server.Serve(listener) //nolint:errcheck // it ends by Close
	return s
}

// Close ends the server and its connections.
func (s *Server) Close() { _ = s.server.Close() }

// Proxy hands requests on to the program behind a transport, with their Host as it was: a
// presigned URL is signed with it. What the program allows to pages of other origins is
// taken out of its answers.
func Proxy(transport http.RoundTripper) http.Handler {
	target := &url.URL{Scheme: "http", Host: "guarded"} // the transport knows where
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		},
		ModifyResponse: func(resp *http.Response) error {
			for name := range resp.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					resp.Header.Del(name)
				}
			}
			return nil
		},
	}
}

// Address is an address of the loopback interface for a program that can't be guarded:
// a random one of 16 million where the system has them all, which is on Linux, so that a
// web page can't know it. Elsewhere it is 127.0.0.1.
func Address() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return net.IPv4(127, b[0], b[1], max(2, min(b[2], 254))).String()
}
