package main

import (
	"context"
	"fmt"
	"path/filepath"

	"google.golang.org/grpc"

	"github.com/quiverlog/quiver/flight"
)

// scanBed is what J3 and J4 read: the same files in Quiver, in S and in C.
type scanBed struct {
	*bench
	quiver *quiverServer
	conn   *grpc.ClientConn // raw messages of quiver
	reader *flight.Client   // the client that programs use
	stock  *process
	memory *process // C; nil without pyarrow
}

// newScanBed starts the servers and puts the files into Quiver, in the batches they have.
func newScanBed(ctx context.Context, b *bench, files ...*datafile) (*scanBed, error) {
	bed := &scanBed{bench: b}
	var err error
	if bed.quiver, err = b.quiverOn(ctx, "quiver", filepath.Join(b.dir, "scan-"+b.job)); err != nil {
		return nil, err
	}
	if bed.conn, err = dial(bed.quiver.address); err != nil {
		return nil, err
	}
	if bed.reader, err = flight.Dial(bed.quiver.address, flight.ClientOptions{}); err != nil {
		return nil, err
	}
	for _, file := range files {
		frames, err := file.frames()
		if err != nil {
			return nil, err
		}
		if err := putAll(ctx, bed.conn, pathOf("default", file.name), file.schema, frames); err != nil {
			return nil, fmt.Errorf("load %s: %w", file.name, err)
		}
	}
	if bed.stock, err = b.child(ctx, "stock", "stock", b.dir); err != nil {
		return nil, err
	}
	if b.client == nil {
		return bed, nil
	}
	args := []string{"-u", "-c", serverScript}
	for _, file := range files {
		args = append(args, file.path)
	}
	bed.memory, err = b.start(ctx, "memory", announced, b.python, args...)
	return bed, err
}

// read is one way to read a file: which columns (nil: all), and how often in a row, so that a sample is long enough.
type read struct {
	file    *datafile
	columns []string
	times   int
}

// gb is what the columns hold, logically.
func (rd *read) gb() float64 {
	if rd.columns == nil {
		return rd.file.gb()
	}
	return rd.file.gb() * float64(len(rd.columns)) / float64(rd.file.schema.NumFields())
}

// quiverTicket asks Quiver for the columns.
func (rd *read) quiverTicket() map[string]any {
	ticket := map[string]any{"table": rd.file.name}
	if rd.columns != nil {
		ticket["columns"] = rd.columns
	}
	return ticket
}

// stockTicket asks S or C for them.
func (rd *read) stockTicket() stockTicket {
	return stockTicket{Path: rd.file.path, Columns: rd.columns}
}

// py reads by pyarrow.
func (bed *scanBed) py(server *process, rd read, ticket any) func(context.Context) (metrics, error) {
	return func(context.Context) (metrics, error) {
		times := bed.size(rd.times, 1)
		return metered(server, rd.gb(), func() (work, error) {
			w, err := bed.byPyarrow(map[string]any{"do": "get", "address": server.address, "ticket": ticket, "times": times})
			return w, checkRows(err, w.rows, rd.file)
		})
	}
}

// golang reads Quiver by our own client, decoding or not.
func (bed *scanBed) golang(rd read, get func(context.Context, *grpc.ClientConn, any) (tally, error)) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		var t tally
		m, err := metered(bed.quiver.process, rd.gb(), func() (work, error) {
			return timedOften(bed.size(rd.times, 1), int64(rd.file.rows()), func() (err error) {
				t, err = get(ctx, bed.conn, rd.quiverTicket())
				return checkRows(err, t.rows, rd.file)
			})
		})
		if err == nil {
			m[messageKB] = float64(t.bytes) / float64(t.messages) / 1e3
		}
		return m, err
	}
}

// checkRows makes an error of a read that gave other rows than there are.
func checkRows(err error, rows int64, file *datafile) error {
	if err == nil && rows != int64(file.rows()) {
		err = fmt.Errorf("%d rows came of %s, which has %d", rows, file.name, file.rows())
	}
	return err
}

// decoded is getDecoded for a reader that only counts.
func (bed *scanBed) decoded(ctx context.Context, _ *grpc.ClientConn, ticket any) (tally, error) {
	return getDecoded(ctx, bed.reader, ticket, nil)
}

// describe tells of a dataset in a note.
func describe(file *datafile) string {
	return fmt.Sprintf("`%s`: %d rows in batches of %d, %.0f MB, %.0f bytes a row", file.name, file.rows(), file.batch,
		float64(file.logical)/1e6, float64(file.logical)/float64(file.rows()))
}
