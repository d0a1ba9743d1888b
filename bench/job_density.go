package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// The arms of J11.
const (
	densityLog   = "Quiver, log tables"
	densityKeyed = "Quiver, keyed tables"
	densityRows  = "Quiver, log table, a row in every bucket"
)

// densityTable is the buckets of a table of J11: the time to create one is a goal.
const densityTable = 10_000

// densityBed is what J11 works with.
type densityBed struct {
	*bench
	settle, watch time.Duration
	number        int
}

// runDensity is J11: a server with so many buckets that do nothing.
func runDensity(ctx context.Context, b *bench, r *result) error {
	if b.binary == "" {
		b.logf("J11 needs the binary: left out")
		return nil
	}
	b.warmups, b.rounds = 0, min(b.rounds, leastQuiet) // each sample is of new servers, and takes its time
	bed := &densityBed{bench: b, settle: 2 * time.Second, watch: 10 * time.Second}
	if b.quick {
		bed.settle, bed.watch = 100*time.Millisecond, 300*time.Millisecond
	}
	buckets, table := b.size(b.idleBuckets, 400), b.size(densityTable, 200)
	if buckets < table {
		return fmt.Errorf("-idle-buckets is %d, it must be %d at least", buckets, table)
	}
	var err error
	r.Arms, err = b.takeTurns(ctx, r.Job, []arm{
		{densityLog, bed.idleTables(buckets/table, table, false, false)},
		{densityKeyed, bed.idleTables(buckets/table, table, true, false)},
		{densityRows, bed.idleTables(1, table, false, true)},
	})
	if err != nil {
		return err
	}
	r.Notes = []string{
		fmt.Sprintf("%d tables of %d buckets each, on a new data directory; with a row in every bucket: one table. \"create\" is the first table, until the action has answered. Then the server is asked to end and started again: ready is from the start of the process until /readyz answers 200, memory and descriptors are looked at %v later, CPU over the %v that follow.", buckets/table, table, bed.settle, bed.watch),
	}
	return nil
}

// judgeDensity judges J11.
func judgeDensity(r *result) {
	for _, name := range []string{densityLog, densityKeyed} {
		r.about("idle buckets")
		r.atMost(1600, r.series(name, idleMB), "memory, MB, "+name)
		r.atMost(1, r.series(name, idleCPU), "CPU, % of one CPU, "+name)
		r.atMost(5000, r.series(name, readyMS), "ready, ms, "+name)
		r.about("creating buckets")
		r.atMost(1000, r.series(name, createMS), "10,000 buckets created, ms, "+name)
	}
	r.about("buckets with rows")
	r.atMost(1, r.series(densityRows, idleCPU), "CPU, % of one CPU, 10,000 buckets with a row each")
	r.atMost(1600, r.series(densityRows, idleMB), "memory, MB, 10,000 buckets with a row each")
}

// idleTables makes the tables on a new data directory, starts the server again and watches it do nothing.
func (bed *densityBed) idleTables(tables, buckets int, keyed, rows bool) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		bed.number++
		data := filepath.Join(bed.dir, fmt.Sprintf("density%d", bed.number))
		defer func() { _ = os.RemoveAll(data) }()
		created, err := bed.create(ctx, data, tables, buckets, keyed, rows)
		if err != nil {
			return nil, err
		}
		m, err := bed.idle(ctx, data, bed.settle, bed.watch)
		if err != nil {
			return nil, err
		}
		m[createMS] = float64(created) / 1e6
		size, err := diskUsage(data)
		m[dataMB] = float64(size) / 1e6
		return m, err
	}
}

// create makes the tables and ends the server. It tells how long the first one took.
func (bed *densityBed) create(ctx context.Context, data string, tables, buckets int, keyed, rows bool) (first time.Duration, err error) {
	q, err := bed.quiverOn(ctx, "density", data)
	if err != nil {
		return 0, err
	}
	defer q.stop()
	defer closeRead(q.control)
	for i := range tables {
		request := map[string]any{"table": fmt.Sprint("idle", i), "buckets": buckets, "schema": []map[string]any{
			{"name": "id", "type": "int64", "nullable": false}, {"name": "text", "type": "string"}}}
		if keyed {
			request["primary_key"] = []string{"id"}
		}
		began := time.Now()
		if _, err := q.act(ctx, "table.create", request); err != nil {
			return 0, err
		}
		if i == 0 {
			first = time.Since(began)
		}
	}
	if !rows {
		return first, nil
	}
	return first, putEverywhere(ctx, q, "idle0", buckets)
}

// putEverywhere puts a row into every bucket of a table.
func putEverywhere(ctx context.Context, q *quiverServer, table string, buckets int) error {
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "text", Type: arrow.BinaryTypes.String}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).Append(1)
	b.Field(1).(*array.StringBuilder).Append(tailText)
	batch := b.NewRecordBatch()
	defer batch.Release()
	m, err := encode(batch, nil)
	if err != nil {
		return err
	}
	frames := make([]frame, buckets)
	for bucket := range frames {
		where := fmt.Appendf(nil, `{"bucket":%d}`, bucket)
		frames[bucket] = frame{head: flightData(nil, where, m.header, len(m.body)), body: m.body}
	}
	conn, err := dial(q.address)
	if err != nil {
		return err
	}
	defer closeRead(conn)
	return putAll(ctx, conn, pathOf("default", table), schema, frames)
}

// diskUsage is what a directory takes on the disk.
func diskUsage(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		const block = 512
		if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Nlink == 1 {
			total += s.Blocks * block
		}
		return nil
	})
	return total, err
}
