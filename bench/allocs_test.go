//go:build !race

// The race detector has pools forget what they hold, at random: what is counted here drifts with it.

package main

import (
	"context"
	"runtime"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver/bench/measure"
	"github.com/quiverlog/quiver/flight"
)

// servedHere is a server in this process: what it allocates is counted here, and so is what the client does.
type servedHere struct {
	*quiverServer
	t      *testing.T
	conn   *grpc.ClientConn
	client *flight.Client
}

func serveHere(t *testing.T) *servedHere {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	data := t.TempDir()
	address, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- serveQuiver(ctx, data, "", func(a string) { address <- a }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	s := &servedHere{t: t}
	var at string
	select {
	case at = <-address:
	case err := <-ended:
		t.Fatal(err)
	}
	s.conn = must(t)(dial(at))
	t.Cleanup(func() { _ = s.conn.Close() })
	client, err := flight.Dial(at, flight.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	t.Cleanup(func() { _ = client.Close() })
	s.quiverServer = &quiverServer{process: &process{address: at}, data: data, control: must(t)(dial(at))}
	t.Cleanup(func() { _ = s.control.Close() })
	return s
}

func must(t *testing.T) func(*grpc.ClientConn, error) *grpc.ClientConn {
	return func(conn *grpc.ClientConn, err error) *grpc.ClientConn {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

// counts runs something so often and gives allocations and bytes of one time, of the whole process.
func counts(times int, do func()) (allocations, bytes float64) {
	do() // pools and streams are warm after it
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		do()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(times), float64(after.TotalAlloc-before.TotalAlloc) / float64(times)
}

// within checks counts, each of so many rows or batches, against the most that is expected.
func within(t *testing.T, what string, per, allocations, most, bytes, mostBytes float64) {
	t.Helper()
	allocations, bytes = allocations/per, bytes/per
	t.Logf("%s: %.2f allocations, %.0f bytes", what, allocations, bytes)
	if allocations > most || bytes > mostBytes {
		t.Errorf("%s: %.2f allocations and %.0f bytes, at most %v and %v were expected", what, allocations, bytes, most, mostBytes)
	}
}

// TestLogAllocations counts what client and server allocate together for appends and reads, on their way through gRPC.
func TestLogAllocations(t *testing.T) {
	s := serveHere(t)
	const batches, rows = 50, 1000
	file, err := bid(rows, batches).write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	frames, err := file.frames()
	if err != nil {
		t.Fatal(err)
	}
	put := func() {
		if err := putAll(t.Context(), s.conn, pathOf("default", putTable), file.schema, frames); err != nil {
			t.Fatal(err)
		}
	}
	allocations, bytes := counts(4, put)
	within(t, "a batch put", batches, allocations, 50, bytes, 110e3)
	single, err := bid(1, 1).write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	one, err := single.frames()
	if err != nil {
		t.Fatal(err)
	}
	bed := &ackBed{row: one[0]}
	stream, err := openPut(t.Context(), s.conn, pathOf("default", "single"), file.schema)
	if err != nil {
		t.Fatal(err)
	}
	const waiting, acks = 64, 2000
	allocations, bytes = counts(2, func() {
		if _, err := bed.produceOne(stream, waiting, acks); err != nil {
			t.Fatal(err)
		}
	})
	within(t, "a row put alone", acks, allocations, 24, bytes, 4.5e3)
	if err := stream.finish(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		columns     []string
		most, bytes float64
	}{{"a batch read", nil, 28, 250e3}, {"2 of 7 columns of a batch read", []string{"price", "url"}, 32, 125e3}} {
		ticket := map[string]any{"table": putTable, "limit": batches * rows}
		if c.columns != nil {
			ticket["columns"] = c.columns
		}
		allocations, bytes = counts(4, func() {
			read, err := getRaw(t.Context(), s.conn, ticket)
			if err != nil || read.rows != batches*rows {
				t.Fatalf("%d rows, %v", read.rows, err)
			}
		})
		within(t, c.name, batches, allocations, c.most, bytes, c.bytes)
	}
}

// TestKeyedAllocations counts what client and server allocate together for upserts and lookups.
func TestKeyedAllocations(t *testing.T) {
	s := serveHere(t)
	const keys, batch = 1 << 14, 1 << 12
	if _, err := s.act(t.Context(), "table.create", map[string]any{"table": lookupTable, "primary_key": []string{"id"}, "schema": keyedColumns}); err != nil {
		t.Fatal(err)
	}
	var sets [2][]frame
	for i := range sets {
		file, err := keyed("kv", batch, keys/batch, everyKey(keys), uint64(i)).write(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if sets[i], err = file.frames(); err != nil {
			t.Fatal(err)
		}
	}
	turn := 0
	update := func() {
		turn++
		if err := putAll(t.Context(), s.conn, pathOf("default", lookupTable), keyedSchema, sets[turn%2]); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		update() // rows that are held take memory until all are
	}
	allocations, bytes := counts(4, update)
	within(t, "a row updated", keys, allocations, 0.15, bytes, 1300)
	lookuper := s.client.Lookup("default."+lookupTable, flight.LookupOptions{})
	defer lookuper.Close()
	asked := func(n int) arrow.RecordBatch {
		b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(keyedSchema.Fields()[:1], nil))
		defer b.Release()
		for i := range n {
			b.Field(0).(*array.Int64Builder).Append(int64(i * 7 % keys))
		}
		return b.NewRecordBatch()
	}
	for _, c := range []struct {
		keys        int
		most, bytes float64
	}{{1, 250, 24e3}, {1000, 320, 420e3}} {
		batch := asked(c.keys)
		allocations, bytes := counts(50, func() {
			rows, err := lookuper.Find(t.Context(), batch)
			if err != nil || rows.NumRows() != int64(c.keys) {
				t.Fatalf("%v, %v", rows, err)
			}
			rows.Release()
		})
		batch.Release()
		within(t, "a request of "+measure.Figure(float64(c.keys))+" keys", 1, allocations, c.most, bytes, c.bytes)
	}
}
