package server

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quiverlog/quiver"
)

// maxTableSeries is how many tables have metrics of their own: the first ones that are used. All others share those
// of otherTables, so that a client that makes many tables does not fill somebody's monitoring. A dropped table leaves
// its place to the next.
const (
	maxTableSeries = 200
	otherTables    = "other"
)

// usage is what went into a table and out of it. A stream asks for it once and then only adds.
type usage struct {
	path     string
	putRows  atomic.Int64 // durable, repeats included
	putBytes atomic.Int64 // of messages, as they came
	getRows  atomic.Int64
	getBytes atomic.Int64
}

// usages are those of all tables, as metrics.
type usages struct {
	exists func(quiver.TableID) bool

	mu    sync.Mutex
	byID  map[quiver.TableID]*usage
	other *usage

	putRows, putBytes, getRows, getBytes *prometheus.Desc
}

func newUsages(r prometheus.Registerer, exists func(quiver.TableID) bool) *usages {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help+` The first 200 tables in use have their own; "other" stands for the rest.`, []string{"table"}, nil)
	}
	u := &usages{
		exists:   exists,
		byID:     map[quiver.TableID]*usage{},
		other:    &usage{path: otherTables},
		putRows:  desc("quiver_table_put_rows_total", "Rows put into a table, durable."),
		putBytes: desc("quiver_table_put_bytes_total", "Bytes of the messages put into a table."),
		getRows:  desc("quiver_table_get_rows_total", "Rows of a table sent to readers."),
		getBytes: desc("quiver_table_get_bytes_total", "Bytes of a table's batches sent to readers."),
	}
	if r != nil {
		r.MustRegister(u)
	}
	return u
}

// of gives the usage of a table.
func (u *usages) of(t *quiver.Table) *usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	if known := u.byID[t.ID]; known != nil {
		return known
	}
	if len(u.byID) >= maxTableSeries {
		u.forgetDroppedLocked()
	}
	if len(u.byID) >= maxTableSeries {
		return u.other
	}
	table := &usage{path: t.Path()}
	u.byID[t.ID] = table
	return table
}

func (u *usages) forgetDroppedLocked() {
	for id := range u.byID {
		if !u.exists(id) {
			delete(u.byID, id)
		}
	}
}

// Describe lists what Collect gives.
func (u *usages) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{u.putRows, u.putBytes, u.getRows, u.getBytes} {
		ch <- d
	}
}

// Collect gives the counters of the tables that there are. A table that was dropped, and one made anew under its name,
// count from zero.
func (u *usages) Collect(ch chan<- prometheus.Metric) {
	u.mu.Lock()
	u.forgetDroppedLocked()
	tables := make([]*usage, 0, len(u.byID)+1)
	for _, t := range u.byID {
		tables = append(tables, t)
	}
	u.mu.Unlock()
	for _, t := range append(tables, u.other) {
		counter := func(desc *prometheus.Desc, n *atomic.Int64) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n.Load()), t.path)
		}
		counter(u.putRows, &t.putRows)
		counter(u.putBytes, &t.putBytes)
		counter(u.getRows, &t.getRows)
		counter(u.getBytes, &t.getBytes)
	}
}
