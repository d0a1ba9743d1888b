package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver/flight"
)

// restartKeyed is the keyed table of J9.
const restartKeyed = "customers"

// restartBed is what J9 works with: a log of many buckets and a keyed table, in one data directory.
type restartBed struct {
	*bench
	data    string
	buckets int
	keys    int
	updates []frame // of the keyed table: they are on their way when the server is killed
	running *process
	kills   uint64
}

// runRestart is J9: the server is killed right after its last acknowledgement, again and again, with all its data.
func runRestart(ctx context.Context, b *bench, r *result) error {
	if b.binary == "" {
		b.logf("J9 needs the binary: left out")
		return nil
	}
	bed := &restartBed{bench: b, data: filepath.Join(b.dir, "restart"), buckets: b.size(b.restartBuckets, 8), keys: b.size(1<<20, 1<<10)}
	stored, err := bed.load(ctx)
	if err != nil {
		return err
	}
	r.Arms, err = b.takeTurns(ctx, r.Job, []arm{{"Quiver", bed.restart}})
	if err != nil {
		return err
	}
	r.Notes = []string{
		fmt.Sprintf("%.1f GB of `bid` in %d buckets, and a keyed table of %d rows of `kv` (D5), a quarter of them updated twice. kill -9 comes while a put is on its way to every bucket and updates are on their way to the keyed table; the clock runs from the start of the new process until /readyz answers 200, until a read of the newest row of every bucket has come back, and until 1,000 lookups of random keys of the keyed table have. The page cache is warm.", float64(stored)/1e9, bed.buckets, bed.keys),
		"The goal is for 50 GB and 1,000 buckets; -restart-gb and -restart-buckets set the size, by default what a small disk holds.",
	}
	return nil
}

// judgeRestart judges J9.
func judgeRestart(r *result) {
	r.about("restart")
	r.atMost(1000, r.series("Quiver", readyMS), "ready after kill -9, ms")
	r.atMost(1000, r.series("Quiver", firstReadMS), "the newest row of every bucket read back after kill -9, ms")
	r.about("keyed tables")
	r.atMost(1000, r.series("Quiver", keyFoundMS), "1,000 keys of a keyed table looked up after kill -9, kv in place, ms")
}

// load starts the server and fills both tables. It tells the size of the segments.
func (bed *restartBed) load(ctx context.Context) (stored int64, err error) {
	file, err := bed.bench.data(bid(8192, bed.size(550, 8)))
	if err != nil {
		return 0, err
	}
	q, err := bed.quiverOn(ctx, "restart", bed.data)
	if err != nil {
		return 0, err
	}
	bed.running = q.process
	times := bed.size(max(1, int(bed.restartGB*1e9/float64(file.logical)+0.5)), 1)
	if err := fillBuckets(ctx, q, file, bed.buckets, times); err != nil {
		return 0, err
	}
	if stored, _, err = q.storedBytes(); err != nil {
		return 0, err
	}
	return stored, bed.loadKeyed(ctx, q)
}

// loadKeyed makes the keyed table, with every key once and a quarter as many updates, twice.
func (bed *restartBed) loadKeyed(ctx context.Context, q *quiverServer) error {
	if _, err := q.act(ctx, "table.create", map[string]any{"table": restartKeyed, "primary_key": []string{"id"}, "schema": keyedColumns}); err != nil {
		return err
	}
	conn, err := dial(q.address)
	if err != nil {
		return err
	}
	defer closeRead(conn)
	batch := bed.size(keyedBatch, 256)
	sets := []*dataset{
		keyed("kv-every", batch, bed.keys/batch, everyKey(bed.keys), 0),
		keyed("kv-uniform-0", batch, bed.keys/batch/4, uniformKeys(bed.keys), 0),
		keyed("kv-uniform-1", batch, bed.keys/batch/4, uniformKeys(bed.keys), 1),
	}
	for _, set := range sets {
		file, err := bed.bench.data(set)
		if err != nil {
			return err
		}
		if bed.updates, err = file.frames(); err != nil {
			return err
		}
		if err := putAll(ctx, conn, pathOf("default", restartKeyed), keyedSchema, bed.updates); err != nil {
			return fmt.Errorf("load %s: %w", restartKeyed, err)
		}
	}
	return nil
}

// fillBuckets spreads the file over the buckets of a new table, so many times.
func fillBuckets(ctx context.Context, q *quiverServer, file *datafile, buckets, times int) error {
	if _, err := q.act(ctx, "table.create", map[string]any{
		"table": putTable, "buckets": buckets, "schema": []map[string]any{
			{"name": "auction", "type": "int64"}, {"name": "bidder", "type": "int64"}, {"name": "price", "type": "int64"},
			{"name": "channel", "type": "string"}, {"name": "url", "type": "string"},
			{"name": "date_time", "type": "timestamp[ms]"}, {"name": "extra", "type": "string"}}}); err != nil {
		return err
	}
	conn, err := dial(q.address)
	if err != nil {
		return err
	}
	defer closeRead(conn)
	stream, err := openPut(ctx, conn, pathOf("default", putTable), file.schema)
	if err != nil {
		return err
	}
	at := 0
	for range times {
		for m, err := range file.messages(nil) {
			if err != nil {
				return err
			}
			where := fmt.Appendf(nil, `{"bucket":%d}`, at%buckets)
			if err := stream.send(&frame{head: flightData(nil, where, m.header, len(m.body)), body: m.body}); err != nil {
				return err
			}
			at++
		}
	}
	return stream.finish()
}

// restart kills the server in the middle of its work and starts it again.
func (bed *restartBed) restart(ctx context.Context) (metrics, error) {
	stop := bed.keepPutting(ctx)
	bed.running.kill()
	stop()
	began := time.Now()
	p, err := bed.startBinary(ctx, "restart", bed.data)
	if err != nil {
		return nil, err
	}
	bed.running = p
	if err := waitReady(ctx, p.http); err != nil {
		return nil, err
	}
	m := metrics{readyMS: since(began)}
	found := time.Now()
	if err := bed.findKeys(ctx); err != nil {
		return nil, err
	}
	took := since(found)
	m[keyFoundMS] = m[readyMS] + took
	if err := readNewest(ctx, p, bed.buckets); err != nil {
		return nil, err
	}
	m[firstReadMS] = since(began) - took
	held, err := readMemory(p.pid())
	m[serverPeak] = float64(held.Peak) / 1e6
	return m, err
}

func since(began time.Time) float64 { return float64(time.Since(began)) / 1e6 }

// findKeys looks up 1,000 random keys, which are spread over all buckets of the keyed table.
func (bed *restartBed) findKeys(ctx context.Context) error {
	client, err := flight.Dial(bed.running.address, flight.ClientOptions{})
	if err != nil {
		return err
	}
	defer closeRead(client)
	lookuper := client.Lookup("default."+restartKeyed, flight.LookupOptions{})
	defer lookuper.Close()
	bed.kills++
	rng := rand.New(rand.NewPCG(9, bed.kills))
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(keyedSchema.Fields()[:1], nil))
	defer b.Release()
	for range lookupKeys {
		b.Field(0).(*array.Int64Builder).Append(rng.Int64N(int64(bed.keys)))
	}
	keys := b.NewRecordBatch()
	defer keys.Release()
	rows, err := lookuper.Find(ctx, keys)
	if err != nil {
		return err
	}
	defer rows.Release()
	if rows.NumRows() != lookupKeys {
		return fmt.Errorf("%d of %d keys were found", rows.NumRows(), lookupKeys)
	}
	return nil
}

// keepPutting puts a batch into every bucket, and updates into the keyed table, and returns while those puts are still
// on their way.
func (bed *restartBed) keepPutting(ctx context.Context) (stop func()) {
	conn, err := dial(bed.running.address)
	if err != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	single := bid(100, 1)
	batch := single.generate(0)
	defer batch.Release()
	if m, err := encode(batch, nil); err == nil {
		frames := make([]frame, bed.buckets)
		for bucket := range frames {
			where := fmt.Appendf(nil, `{"bucket":%d}`, bucket)
			frames[bucket] = frame{head: flightData(nil, where, m.header, len(m.body)), body: m.body}
		}
		beginPut(ctx, conn, putTable, single.schema, frames)
	}
	beginPut(ctx, conn, restartKeyed, keyedSchema, bed.updates[:min(4, len(bed.updates))])
	return func() { cancel(); _ = conn.Close() }
}

// beginPut sends everything and waits for one answer: something is durable then, the rest is on its way. What fails, fails
// since the server is about to be killed.
func beginPut(ctx context.Context, conn *grpc.ClientConn, table string, schema *arrow.Schema, frames []frame) {
	stream, err := openPut(ctx, conn, pathOf("default", table), schema)
	if err != nil {
		return
	}
	for i := range frames {
		_ = stream.send(&frames[i])
	}
	_, _ = stream.answer()
}

// readNewest reads the last row of every bucket.
func readNewest(ctx context.Context, p *process, buckets int) error {
	conn, err := dial(p.address)
	if err != nil {
		return err
	}
	defer closeRead(conn)
	control := &quiverServer{process: p, control: conn}
	ends, err := control.act(ctx, "log.offsets", map[string]any{"table": putTable, "at": "latest"})
	if err != nil {
		return err
	}
	from := map[string]any{}
	for _, end := range ends {
		bucket, _ := end["bucket"].(float64)
		offset, _ := end["offset"].(float64)
		from[fmt.Sprint(int(bucket))] = int64(max(offset-1, 0))
	}
	t, err := newestRows(ctx, conn, from)
	if err == nil && t.rows != int64(buckets) {
		err = fmt.Errorf("%d buckets gave their newest row, there are %d", t.rows, buckets)
	}
	return err
}

func newestRows(ctx context.Context, conn *grpc.ClientConn, from map[string]any) (tally, error) {
	return getRaw(ctx, conn, map[string]any{"table": putTable, "columns": []string{"auction"}, "from": map[string]any{"offsets": from}})
}
