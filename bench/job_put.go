package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver/bench/measure"
)

// The arms of J1.
const (
	putPy         = "Quiver, pyarrow"
	putGo         = "Quiver, Go client"
	putPyLZ4      = "Quiver, pyarrow, LZ4"
	putGoLZ4      = "Quiver, Go client, LZ4"
	putStockPy    = "S, pyarrow"
	putStockGo    = "S, Go client"
	putDisk       = "D"
	putDiskLZ4    = "D, LZ4"
	putReceive    = "G, receive"
	putReceiveLZ4 = "G, receive, LZ4"
	putChecksum   = "CRC32C"
	putDecode     = "LZ4 decompression"
	inMemory      = ", tmpfs"
)

// putBed is what J1 works with.
type putBed struct {
	*bench
	data   *datafile
	plain  []frame
	lz4    []frame
	source *ring // what the floors write
	// What the last put of the Go client left on the disk, by compression: D writes the same.
	groups, groupsLZ4 []int64
}

// runPut is J1: the same file put again and again, each time into a new table.
func runPut(ctx context.Context, b *bench, r *result) error {
	bed := &putBed{bench: b, source: newRing(b.size(ringBytes, 8<<20))}
	var err error
	if bed.data, err = b.data(bid(b.size(65_536, 8192), b.size(32, 2))); err != nil {
		return err
	}
	if bed.plain, err = bed.data.frames(); err != nil {
		return err
	}
	if bed.lz4, err = bed.data.frames(aipc.WithLZ4()); err != nil {
		return err
	}
	arms, err := bed.arms(ctx)
	if err != nil {
		return err
	}
	if r.Arms, err = b.takeTurns(ctx, r.Job, arms); err != nil {
		return err
	}
	r.Notes = []string{
		describe(bed.data) + "; every put makes a new table; the clock stops when everything is durable.",
		"Quiver acknowledges each group commit after fdatasync; S syncs once, at the end of the put, and acknowledges then; D writes the groups that the Go client's put before it left, each synced.",
		"The Go client sends batches that were encoded (and compressed) before the run.",
	}
	return nil
}

// arms are J1's arms, with their servers.
func (bed *putBed) arms(ctx context.Context) ([]arm, error) {
	arms, err := bed.systems(ctx, bed.dir, "")
	if err != nil {
		return nil, err
	}
	raw, err := bed.child(ctx, "passthrough", "passthrough")
	if err != nil {
		return nil, err
	}
	conn, err := dial(raw.address)
	if err != nil {
		return nil, err
	}
	arms = append(arms,
		arm{putDisk, func(context.Context) (metrics, error) { return bed.floor(bed.dir, bed.groups) }},
		arm{putDiskLZ4, func(context.Context) (metrics, error) { return bed.floor(bed.dir, bed.groupsLZ4) }},
		arm{putReceive, func(ctx context.Context) (metrics, error) { return bed.receive(ctx, raw, conn, bed.plain) }},
		arm{putReceiveLZ4, func(ctx context.Context) (metrics, error) { return bed.receive(ctx, raw, conn, bed.lz4) }},
		arm{putChecksum, func(context.Context) (metrics, error) { return bed.checksum() }},
		arm{putDecode, func(context.Context) (metrics, error) { return bed.decompress() }},
	)
	if bed.ram == "" {
		return arms, nil
	}
	inTmpfs, err := bed.systems(ctx, bed.ram, inMemory)
	return append(arms, inTmpfs...), err
}

// systems are Quiver and S on a directory.
func (bed *putBed) systems(ctx context.Context, dir, suffix string) ([]arm, error) {
	q, err := bed.quiverOn(ctx, "quiver"+filepath.Base(dir), filepath.Join(dir, "quiver"))
	if err != nil {
		return nil, err
	}
	quiverConn, err := dial(q.address)
	if err != nil {
		return nil, err
	}
	s, err := bed.child(ctx, "stock"+filepath.Base(dir), "stock", dir)
	if err != nil {
		return nil, err
	}
	stockConn, err := dial(s.address)
	if err != nil {
		return nil, err
	}
	groups, groupsLZ4 := &bed.groups, &bed.groupsLZ4
	if dir != bed.dir {
		groups, groupsLZ4 = nil, nil
	}
	arms := make([]arm, 0, 6)
	arms = append(arms,
		arm{putGo + suffix, func(ctx context.Context) (metrics, error) {
			return bed.quiverGo(ctx, q, quiverConn, bed.plain, groups)
		}},
		arm{putGoLZ4 + suffix, func(ctx context.Context) (metrics, error) {
			return bed.quiverGo(ctx, q, quiverConn, bed.lz4, groupsLZ4)
		}},
		arm{putStockGo + suffix, func(ctx context.Context) (metrics, error) { return bed.stockGo(ctx, s, stockConn) }},
	)
	if bed.client == nil {
		return arms, nil
	}
	if _, err := bed.client.do(map[string]any{"do": "load", "file": bed.data.path}); err != nil {
		return nil, err
	}
	return append(arms,
		arm{putPy + suffix, func(ctx context.Context) (metrics, error) { return bed.quiverPy(ctx, q, "") }},
		arm{putPyLZ4 + suffix, func(ctx context.Context) (metrics, error) { return bed.quiverPy(ctx, q, "lz4") }},
		arm{putStockPy + suffix, func(context.Context) (metrics, error) { return bed.stockPy(s) }},
	), nil
}

// putTable is the table, or file, that is put into.
const putTable = "bid"

// quiverGo puts the frames by our own client and keeps what groups they were committed in.
func (bed *putBed) quiverGo(ctx context.Context, q *quiverServer, conn *grpc.ClientConn, frames []frame, groups *[]int64) (metrics, error) {
	return bed.settled(ctx, q, groups, func() (work, error) {
		return timed(int64(bed.data.rows()), func() error {
			return putAll(ctx, conn, pathOf("default", putTable), bed.data.schema, frames)
		})
	})
}

// quiverPy puts the file by pyarrow.
func (bed *putBed) quiverPy(ctx context.Context, q *quiverServer, compression string) (metrics, error) {
	command := map[string]any{"do": "put", "file": bed.data.path, "address": q.address, "path": []string{"default", putTable}}
	if compression != "" {
		command["compression"] = compression
	}
	return bed.settled(ctx, q, nil, func() (work, error) { return bed.byPyarrow(command) })
}

// settled meters a put into Quiver, adds what it left on the disk, and drops the table.
func (bed *putBed) settled(ctx context.Context, q *quiverServer, groups *[]int64, put func() (work, error)) (metrics, error) {
	m, err := metered(q.process, bed.data.gb(), put)
	if err != nil {
		return nil, err
	}
	stored, sizes, err := q.storedBytes()
	if err != nil {
		return nil, err
	}
	if groups != nil {
		*groups = sizes
	}
	m[storedPerSec] = float64(stored) / 1e9 / m[seconds]
	m[groupMB] = medianSize(sizes) / 1e6
	return m, q.drop(ctx, putTable)
}

func medianSize(sizes []int64) float64 {
	values := make([]float64, 0, len(sizes))
	for _, n := range sizes {
		values = append(values, float64(n))
	}
	return measure.Median(values)
}

func (bed *putBed) stockGo(ctx context.Context, s *process, conn *grpc.ClientConn) (metrics, error) {
	return metered(s, bed.data.gb(), func() (work, error) {
		return timed(int64(bed.data.rows()), func() error {
			return putAll(ctx, conn, pathOf(putTable), bed.data.schema, bed.plain)
		})
	})
}

func (bed *putBed) stockPy(s *process) (metrics, error) {
	return metered(s, bed.data.gb(), func() (work, error) {
		return bed.byPyarrow(map[string]any{"do": "put", "file": bed.data.path, "address": s.address, "path": []string{putTable}, "await": true})
	})
}

// floor writes groups as D does.
func (bed *putBed) floor(dir string, groups []int64) (metrics, error) {
	var stored int64
	for _, n := range groups {
		stored += n
	}
	m, err := metered(nil, bed.data.gb(), func() (work, error) {
		return timed(int64(bed.data.rows()), func() error { return writeGroups(dir, groups, bed.source) })
	})
	if err != nil {
		return nil, err
	}
	m[storedPerSec] = float64(stored) / 1e9 / m[seconds]
	m[groupMB] = medianSize(groups) / 1e6
	return m, nil
}

// receive sends the frames to a server that drops them.
func (bed *putBed) receive(ctx context.Context, s *process, conn *grpc.ClientConn, frames []frame) (metrics, error) {
	return metered(s, bed.data.gb(), func() (work, error) {
		return timed(int64(bed.data.rows()), func() error { return passthroughPut(ctx, conn, frames) })
	})
}

func (bed *putBed) checksum() (metrics, error) {
	return metered(nil, bed.data.gb(), func() (work, error) {
		return timed(0, func() error { checksumAll(bed.plain); return nil })
	})
}

// decompress reads the LZ4 batches as arrow-go reads them.
func (bed *putBed) decompress() (metrics, error) {
	path := filepath.Join(bed.dir, "lz4.arrow")
	if _, err := os.Stat(path); err != nil {
		if err := compressFile(bed.data.path, path); err != nil {
			return nil, err
		}
	}
	return metered(nil, bed.data.gb(), func() (work, error) {
		return timed(0, func() error {
			return eachBatch(path, func(arrow.RecordBatch) (bool, error) { return true, nil })
		})
	})
}

// compressFile writes an IPC file again, with LZ4.
func compressFile(from, to string) (err error) {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() {
		if closing := f.Close(); err == nil && !errors.Is(closing, os.ErrClosed) {
			err = closing
		}
	}()
	var w *aipc.FileWriter
	err = eachBatch(from, func(batch arrow.RecordBatch) (bool, error) {
		if w == nil {
			if w, err = aipc.NewFileWriter(f, aipc.WithSchema(batch.Schema()), aipc.WithLZ4()); err != nil {
				return false, err
			}
		}
		return true, w.Write(batch)
	})
	if err != nil {
		return err
	}
	if w == nil {
		return io.ErrUnexpectedEOF
	}
	return w.Close()
}

// judgePut judges J1.
func judgePut(r *result) {
	r.about("on the disk")
	inverse := func(arm, against string) []float64 { return r.ratio(seconds, against, arm) } // of speeds
	r.atLeast(0.85, inverse(putGo, putDisk), "put, durable, Go client, of D's speed in stored bytes")
	r.atLeast(0.85, inverse(putPy, putDisk), "put, durable, pyarrow, of D's speed in stored bytes")
	r.atLeast(0.85, inverse(putGoLZ4, putDiskLZ4), "the same, LZ4, Go client")
	r.atLeast(0.85, inverse(putPyLZ4, putDiskLZ4), "the same, LZ4, pyarrow (which compresses meanwhile)")
	r.about("server CPU")
	sum := func(a, b float64) float64 { return a + b }
	parts := pairwise(r.series(putDisk, clientCPU), r.series(putChecksum, clientCPU), sum)
	plain := pairwise(parts, r.series(putReceive, serverCPU), sum)
	r.atMost(1.4, pairwise(r.series(putGo, serverCPU), plain, divide), "server CPU of a put, of receive + write + CRC")
	partsLZ4 := pairwise(pairwise(r.series(putDiskLZ4, clientCPU), r.series(putReceiveLZ4, serverCPU), sum), r.series(putDecode, clientCPU), sum)
	r.atMost(1.4, pairwise(r.series(putGoLZ4, serverCPU), partsLZ4, divide), "server CPU of an LZ4 put, of receive + write + decompression by arrow-go")
	r.about("in memory")
	r.atLeast(2, r.ratio(gbPerSec, putPy+inMemory, putStockPy+inMemory), "put on tmpfs, pyarrow, of S")
	r.atLeast(2, r.ratio(gbPerSec, putGo+inMemory, putStockGo+inMemory), "put on tmpfs, Go client, of S")
	r.atMost(0.5, r.ratio(serverCPU, putPy+inMemory, putStockPy+inMemory), "server CPU of a put on tmpfs, pyarrow, of S")
	r.atMost(0.5, r.ratio(serverCPU, putGo+inMemory, putStockGo+inMemory), "server CPU of a put on tmpfs, Go client, of S")
	r.about("beside the peers")
	r.atLeast(4.4e6, r.series(putPyLZ4, rowsPerSec), "rows/s, LZ4, pyarrow, beside pyfluss at its best (which syncs nothing)")
	r.atMost(0.5*0.54, r.series(putPyLZ4, serverCPU), "server CPU s/GB, LZ4, pyarrow, beside half of that pyfluss's 0.54")
	r.atLeast(4*467e3, r.series(putPy, rowsPerSec), "rows/s, pyarrow, beside 4 × Kafka with flush (467 K)")
	r.atLeast(3*1e6, r.series(putPy, rowsPerSec), "rows/s, pyarrow, beside 3 × Fluss by rows (1.0 M)")
}
