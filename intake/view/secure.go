package view

import (
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// policy lets a page load its own images, styles and script, and nothing else.
const policy = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Listen listens on the loopback address only; port 0 takes a free one.
func Listen(port int) (net.Listener, error) {
	if port < 0 || port > 65535 {
		return nil, fmt.Errorf("view: port %d: a port is 0 (any that is free) to 65535", port)
	}
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", fmt.Sprint(port)))
	if err != nil {
		return nil, fmt.Errorf("view: %w: choose another port, or none", err)
	}
	return listener, nil
}

// secured lets through to next what a browser of this machine asks for on its own account:
//
//   - Host must be the loopback address, so that no name of somebody else's that resolves to
//     it works (DNS rebinding).
//   - Sec-Fetch-Site must not name another site. Other ports of this machine are other sites.
//   - the path must begin with the secret that the command printed. There is no cookie, so
//     no request of another page carries any authority.
//   - what changes something must come from the same origin.
func secured(secret string, next http.Handler) http.Handler {
	prefix := "/" + secret
	inside := http.NewCrossOriginProtection().Handler(http.StripPrefix(prefix, next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case !loopback(r.RemoteAddr) || !ownHost(r):
			http.Error(w, "403: this page is for the machine that it runs on: use the address that `intake view` printed", http.StatusForbidden)
		case site != "" && site != "none" && site != "same-origin":
			http.Error(w, "403: another page links here: open the address that `intake view` printed instead", http.StatusForbidden)
		case !under(r.URL.Path, prefix):
			http.Error(w, "404: use the whole address that `intake view` printed", http.StatusNotFound)
		case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
			http.Error(w, "405", http.StatusMethodNotAllowed)
		default:
			inside.ServeHTTP(w, r)
		}
	})
}

// under compares without telling by its time how much of a guess was right.
func under(path, prefix string) bool {
	return len(path) > len(prefix) && path[len(prefix)] == '/' &&
		subtle.ConstantTimeCompare([]byte(path[:len(prefix)]), []byte(prefix)) == 1
}

func loopback(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// ownHost reports whether the request names the address that it has come to.
func ownHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return false
	}
	port := fmt.Sprintf(":%d", at.Port())
	return strings.EqualFold(r.Host, "localhost"+port) || r.Host == "127.0.0.1"+port
}
