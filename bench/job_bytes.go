package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver/bench/measure"
)

// bytesBed is what J12 works with.
type bytesBed struct {
	*bench
	quiver *quiverServer
	conn   *grpc.ClientConn
}

// codecs are the compressions of J12, in the order of the tables.
var codecs = []struct {
	name    string
	options []aipc.Option
}{{"uncompressed", nil}, {"LZ4", []aipc.Option{aipc.WithLZ4()}}, {"ZSTD", []aipc.Option{aipc.WithZstd()}}}

// bytesArm names an arm of J12.
func bytesArm(set, codec string) string { return set + ", " + codec }

// bytesSets are the datasets of J12, in batches of 64 K rows: D1 to D6.
func bytesSets(b *bench) []*dataset {
	rows, batches, fewer := b.size(65_536, 4096), b.size(4, 1), b.size(2, 1)
	keys := rows * batches
	return []*dataset{
		bid(rows, batches), lineitem(rows, batches), omb20(rows, fewer, longTexts), wide100(rows, fewer),
		keyed("kv", rows, batches, everyKey(keys), 0), taxi(rows, batches),
	}
}

// runBytes is J12, the hot log: what rows take on the disk, beside an IPC stream of the same batches. Nothing of it
// depends on time, so one round is enough.
func runBytes(ctx context.Context, b *bench, r *result) error {
	bed := &bytesBed{bench: b}
	var err error
	if bed.quiver, err = b.quiverOn(ctx, "bytes", filepath.Join(b.dir, "bytes")); err != nil {
		return err
	}
	if bed.conn, err = dial(bed.quiver.address); err != nil {
		return err
	}
	for _, set := range bytesSets(b) {
		file, err := b.data(set)
		if err != nil {
			return err
		}
		r.Notes = append(r.Notes, describe(file)+".")
		for _, codec := range codecs {
			m, err := bed.measure(ctx, file, codec.options)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", set.name, codec.name, err)
			}
			a := armResult{Name: bytesArm(set.name, codec.name), Samples: []sample{{Metrics: m}}}
			b.logf("%s  %-28s %s B/row, %s of raw Arrow", r.Job, a.Name, measure.Figure(m[bytesPerRow]), measure.Figure(m[ofArrow]))
			r.Arms = append(r.Arms, a)
		}
	}
	r.Notes = append(r.Notes,
		"Bytes are those of all files of the table's log after a put in batches of 64 K rows by one client, which compressed them or not: segments up to the last batch (zeros written ahead behind it left out), indexes and states. Raw Arrow is what the same client sent, as an IPC stream: schema, batches and end.",
		"The server splits batches that take more than 3 MiB, and compresses the pieces anew where they were compressed; smaller ones are stored as they came.")
	return nil
}

// judgeBytes judges J12.
func judgeBytes(r *result) {
	for _, a := range r.Arms {
		_, codec, _ := strings.Cut(a.Name, ", ")
		r.about("hot log, " + codec)
		r.atMost(1.02, a.values(ofArrow), "bytes of the hot log, of raw Arrow, "+a.Name)
	}
}

// measure puts a file into a new table and adds up what lies on the disk.
func (bed *bytesBed) measure(ctx context.Context, file *datafile, options []aipc.Option) (metrics, error) {
	frames, err := file.frames(options...)
	if err != nil {
		return nil, err
	}
	if err := putAll(ctx, bed.conn, pathOf("default", file.name), file.schema, frames); err != nil {
		return nil, err
	}
	stored, _, err := bed.quiver.storedBytes()
	if err != nil {
		return nil, err
	}
	others, err := bed.sidecars()
	if err != nil {
		return nil, err
	}
	if err := bed.quiver.drop(ctx, file.name); err != nil {
		return nil, err
	}
	total := float64(stored + others)
	return metrics{bytesPerRow: total / float64(file.rows()), ofArrow: total / float64(streamBytes(file, frames))}, nil
}

// sidecars are the bytes of the files beside the segments.
func (bed *bytesBed) sidecars() (total int64, err error) {
	paths, err := filepath.Glob(filepath.Join(bed.quiver.data, "log", "*", "*", "*", "*"))
	for _, path := range paths {
		if filepath.Ext(path) == ".arrows" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, err
}

// streamBytes is the size of the IPC stream with these batches.
func streamBytes(file *datafile, frames []frame) int64 {
	const prefix, align = 8, 8 // continuation mark and size; metadata is padded
	padded := func(n int) int64 { return prefix + int64((n+align-1)/align*align) }
	total := padded(len(encodeSchema(file.schema))) + prefix
	for i := range frames {
		total += padded(frames[i].header) + int64(len(frames[i].body))
	}
	return total
}
