package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
)

// newHTTP is the HTTP port: liveness, readiness with reasons, version, metrics, and profiles for who sits at the
// machine.
func (n *Node) newHTTP() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"live": true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		reasons := n.unready()
		status := http.StatusOK
		if len(reasons) > 0 {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, map[string]any{"ready": len(reasons) == 0, "reasons": reasons, "notes": n.noted()})
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, n.version()) })
	mux.Handle("GET /metrics", n.metricsHandler())
	mux.Handle("/debug/pprof/", local(profiles()))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w, "quiver %s\n\nData is served over Arrow Flight, at grpc://%s. Here are\n\n"+
			"  /livez        whether the process lives\n  /readyz       whether it serves, with reasons\n"+
			"  /metrics      for Prometheus\n  /version      of program and formats\n"+
			"  /debug/pprof  profiles, for callers on the same machine\n", n.options.Version, n.FlightAddr())
	})
	return mux
}

// Version is what /version answers.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Format  int    `json:"format"` // of stored batches
	Wire    int    `json:"wire"`   // of the contract with clients
	Started string `json:"started"`
}

func (n *Node) version() Version {
	return Version{
		Version: n.options.Version, Commit: n.options.Commit, Go: runtime.Version(),
		Format: record.FormatVersion, Wire: flight.WireVersion, Started: n.started.UTC().Format(time.RFC3339),
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the other side is gone: nobody is left to tell
}
