package node

import (
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
)

// profiles are the handlers of net/http/pprof, which that package also puts on http.DefaultServeMux; nothing of ours
// serves that one.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// refusedHere is what anybody else is told.
const refusedHere = "profiles are for who sits at the machine: ask 127.0.0.1 there, or through a tunnel " +
	"(ssh -L 8816:127.0.0.1:8816 HOST), and not through a proxy\n"

// local lets only requests through that come from this machine, to this machine, from nobody else:
//
//	the peer's address is loopback     whatever the port is bound to; a header says nothing about it
//	no proxy passed it on              a proxy on this machine has a loopback address for everybody
//	the host asked for is loopback     a web page whose name was pointed at 127.0.0.1 gets nothing
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.RemoteAddr) || !isLocalHost(r.Host) || isForwarded(r.Header) {
			http.Error(w, refusedHere, http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback tells whether an address with a port is one of this machine's own to itself.
func isLoopback(address string) bool {
	peer, err := netip.ParseAddrPort(address)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// isLocalHost tells whether a Host header names this machine as it calls itself.
func isLocalHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if name == "localhost" {
		return true
	}
	if n := len(name); n > 2 && name[0] == '[' && name[n-1] == ']' {
		name = name[1 : n-1]
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

// isForwarded tells whether a proxy passed the request on.
func isForwarded(h http.Header) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if h.Get(name) != "" {
			return true
		}
	}
	return false
}
