package node

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newRegistry makes the registry of a node: what it is made of registers itself there, the Go runtime and the process
// are in it from the start.
func (n *Node) newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
	gauge("quiver_build_info", "Always 1; its labels tell what runs.",
		prometheus.Labels{"version": n.options.Version, "commit": n.options.Commit, "go_version": runtime.Version()},
		func() float64 { return 1 })
	gauge("quiver_node_ready", "1 while /readyz answers 200.", nil, func() float64 { return truth(len(n.unready()) == 0) })
	gauge("quiver_node_draining", "1 once the server was told to stop.", nil, func() float64 { return truth(n.draining.Load()) })
	return r
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// scrapes is how many scrapes run at one time; a further one is told to come back.
const scrapes = 4

// metricsHandler serves the registry in the format that the client asks for.
func (n *Node) metricsHandler() http.Handler {
	return promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{
		ErrorLog:            scrapeLog{n.options.Logger},
		MaxRequestsInFlight: scrapes,
		EnableOpenMetrics:   true,
	})
}

// scrapeLog takes what went wrong with a scrape into the server's log.
type scrapeLog struct{ logger *slog.Logger }

func (l scrapeLog) Println(v ...any) {
	l.logger.Warn("metrics could not be told whole", "err", fmt.Sprint(v...))
}
