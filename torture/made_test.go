package main

import (
	"context"
	"strings"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/registertest"
	"github.com/quiverlog/quiver/node"
)

// made is a server that is well, whose tables are filled with what a broken one would have left.
type made struct {
	*conn
	t     *testing.T
	world *world
}

func newMade(t *testing.T) *made {
	t.Helper()
	n, err := node.Open(node.Options{Memory: true, FlightAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	over := make(chan error, 1)
	go func() { over <- n.Run(ctx) }()
	c, err := dial(n.FlightAddr())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t.Context(), n.FlightAddr())
	t.Cleanup(func() {
		w.stop()
		c.close()
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return &made{conn: c, t: t, world: w}
}

func (m *made) table(name string, columns []quiver.ColumnSpec, key ...string) {
	m.t.Helper()
	if _, err := m.CreateTable(m.t.Context(), flight.TableCreate{Table: flight.Named(name), Schema: flight.SchemaWord{Columns: columns}, PrimaryKey: key, Buckets: new(int32(1))}); err != nil {
		m.t.Fatal(err)
	}
}

// judged compares what a judge found with what it was to find.
func (m *made) judged(err error, want string) {
	m.t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		m.t.Errorf("found %v, want %q", err, want)
	}
}

// TestJudgeSales has a table of what jobs counted for every way to count wrong. The sales are two of one window and one
// of another.
func TestJudgeSales(t *testing.T) {
	a, b := window{"store-1", 60}, window{"store-2", 120}
	sales := []sale{{"store-1", 61_000, 100}, {"store-2", 121_000, 7}, {"store-1", 62_000, 50}}
	one, two, other := tally{1, 100, 1}, tally{2, 150, 3}, tally{1, 7, 2}
	type step = map[window]tally
	for _, c := range []struct {
		what  string
		steps []step
		lost  int64 // sales that were acknowledged and are not in the log
		want  string
	}{
		{"all is well", []step{{a: one, b: other}, {a: two}}, 0, ""},
		{"all is well, counted at once", []step{{a: two, b: other}}, 0, ""},
		{"one is counted twice", []step{{a: one, b: other}, {a: {3, 250, 3}}}, 0, "never came to"},
		{"one is left out", []step{{a: {1, 50, 3}, b: other}}, 0, "never came to"},
		{"the last one is not counted", []step{{a: one, b: other}}, 0, "is counted as"},
		{"a window is missing", []step{{a: two}}, 0, "is counted as"},
		{"what is counted goes back", []step{{a: two, b: other}, {a: one}, {a: two}}, 0, "went back"},
		{"a window that nobody sold in", []step{{a: two, b: other, {"store-3", 60}: one}}, 0, "never came to"},
		{"a sale is lost", []step{{a: two, b: other}}, 1, "are in the log"},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := newMade(t)
			m.table(tableSales, salesColumns)
			m.table(tableMinutes, minutesColumns, "store", "minute")
			put := &till{batches: [][]sale{sales}, rows: int64(len(sales)) + c.lost}
			for _, s := range sales {
				put.cents += s.cents
			}
			if err := m.putOne(t.Context(), putCommand{Put: tableSales}, put.record(0)); err != nil {
				t.Fatal(err)
			}
			for _, s := range c.steps {
				if err := m.putOne(t.Context(), putCommand{Put: tableMinutes}, tallyRows(s)); err != nil {
					t.Fatal(err)
				}
			}
			m.judged(judgeSales(t.Context(), m.conn, put), c.want)
		})
	}
}

// TestJudgeHot has a history of hot keys for every way in which it may have no order: the table is as the last of the puts
// left it, and the clients say what they were told.
func TestJudgeHot(t *testing.T) {
	up := func(key, value int64) registertest.Call {
		return registertest.Call{Key: key, Kind: registertest.Upsert, Value: value}
	}
	told := func(h *registertest.History, c registertest.Call) {
		h.Begin(c).Done(registertest.Answer{Version: registertest.Untold})
	}
	saw := func(h *registertest.History, key, value, version int64) {
		h.Begin(registertest.Call{Key: key, Kind: registertest.Lookup}).Done(registertest.Answer{Found: version >= 0, Value: value, Version: version})
	}
	for _, c := range []struct {
		what  string
		noted func(h *registertest.History) // beside the two puts that the table holds, before them
		after func(h *registertest.History)
		want  string
	}{
		{"all is well", nil, func(h *registertest.History) { saw(h, 1, 20, 2) }, ""},
		{"a put without an answer that was not done", nil, func(h *registertest.History) { h.Begin(up(2, 9)).Lost(); h.Died() }, ""},
		{"an acknowledged put is lost", nil, func(h *registertest.History) { told(h, up(1, 30)) }, "linearizable"},
		{"a put of a key that has no row", nil, func(h *registertest.History) { told(h, up(3, 30)) }, "linearizable"},
		{"a stale lookup", nil, func(h *registertest.History) { saw(h, 1, 10, 0) }, "linearizable"},
		{"a lookup of the future", func(h *registertest.History) { saw(h, 1, 20, 2) }, nil, "linearizable"},
		{"a refused put is there", nil, func(h *registertest.History) { h.Begin(up(4, 5)).Never(); saw(h, 4, 5, 9) }, "linearizable"},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := newMade(t)
			m.table(tableHot, hotColumns, strings.Split(hotKey, ",")...)
			history := registertest.New()
			k := &hot{client: &client{world: m.world, table: tableHot}, history: history, seen: map[int64]int64{}}
			if c.noted != nil {
				c.noted(history)
			}
			for _, value := range []int64{10, 20} {
				if err := k.change(t.Context(), m.conn, []registertest.Call{up(1, value)}); err != nil {
					t.Fatal(err)
				}
			}
			if c.after != nil {
				c.after(history)
			}
			m.judged(judgeHot(t.Context(), m.conn, []*hot{k}), c.want)
		})
	}
}
