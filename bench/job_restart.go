package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
)

// runRestart is J9: the server is killed right after its last acknowledgement, again and again, with all its data.
func runRestart(ctx context.Context, b *bench, r *result) error {
	if b.binary == "" {
		b.logf("J9 needs the binary: left out")
		return nil
	}
	buckets := b.size(200, 8)
	file, err := b.data(bid(8192, b.size(2200, 8)))
	if err != nil {
		return err
	}
	data := filepath.Join(b.dir, "restart")
	q, err := b.quiverOn(ctx, "restart", data)
	if err != nil {
		return err
	}
	if err := fillBuckets(ctx, q, file, buckets); err != nil {
		return err
	}
	stored, _, err := q.storedBytes()
	if err != nil {
		return err
	}
	running := q.process
	r.Arms, err = b.takeTurns(ctx, r.Job, []arm{{"Quiver", func(ctx context.Context) (m metrics, err error) {
		m, running, err = b.restart(ctx, running, data, buckets)
		return m, err
	}}})
	if err != nil {
		return err
	}
	r.Notes = []string{
		fmt.Sprintf("%.1f GB of `bid` in %d buckets. kill -9 comes while a put is on its way to every bucket; the clock runs from the start of the new process until /readyz answers 200, and until a read of the newest row of every bucket has come back. The page cache is warm.", float64(stored)/1e9, buckets),
		"The goal is for 50 GB and 1,000 buckets; the size here is what fits into a run of minutes.",
	}
	r.atMost(1000, r.series("Quiver", readyMS), "ready after kill -9, ms")
	r.atMost(1000, r.series("Quiver", firstReadMS), "the newest row of every bucket read back after kill -9, ms")
	return nil
}

// fillBuckets spreads the file over the buckets of a new table.
func fillBuckets(ctx context.Context, q *quiverServer, file *datafile, buckets int) error {
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
	return stream.finish()
}

// restart kills the server in the middle of its work and starts it again.
func (b *bench) restart(ctx context.Context, running *process, data string, buckets int) (metrics, *process, error) {
	stop := keepPutting(ctx, running, buckets)
	running.kill()
	stop()
	began := time.Now()
	p, err := b.startBinary(ctx, "restart", data)
	if err != nil {
		return nil, nil, err
	}
	if err := waitReady(ctx, p.http); err != nil {
		return nil, nil, err
	}
	m := metrics{readyMS: since(began)}
	if err := readNewest(ctx, p, buckets); err != nil {
		return nil, nil, err
	}
	m[firstReadMS] = since(began)
	held, err := readMemory(p.pid())
	m[serverPeak] = float64(held.peak) / 1e6
	return m, p, err
}

func since(began time.Time) float64 { return float64(time.Since(began)) / 1e6 }

// keepPutting puts a batch into every bucket and returns while those puts are still on their way.
func keepPutting(ctx context.Context, p *process, buckets int) (stop func()) {
	conn, err := dial(p.address)
	if err != nil {
		return func() {}
	}
	single := bid(100, 1)
	ctx, cancel := context.WithCancel(ctx)
	batch := single.generate(0)
	defer batch.Release()
	if m, err := encode(batch, nil); err == nil {
		if stream, err := openPut(ctx, conn, pathOf("default", putTable), single.schema); err == nil {
			for bucket := range buckets {
				where := fmt.Appendf(nil, `{"bucket":%d}`, bucket)
				_ = stream.send(&frame{head: flightData(nil, where, m.header, len(m.body)), body: m.body})
			}
			_, _ = stream.answer() // something is durable, the rest is on its way
		}
	}
	return func() { cancel(); _ = conn.Close() }
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
