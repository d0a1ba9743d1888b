package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/quiverlog/quiver/flight"
)

const (
	pyflussLargeFetch = "scanner.log.fetch.max-bytes-for-bucket=16777216"
	kafkaLargeFetch   = "fetch.max.bytes=67108864;max.partition.fetch.bytes=16777216"
)

// runScan reads whole tables.
func runScan(ctx context.Context, p *peers, r *result) error {
	t, err := p.all(ctx)
	if err != nil {
		return err
	}
	file, err := p.data(bids(p.size(65_536, 8192), p.size(32, 2)), p.size(512<<10, 8192))
	if err != nil {
		return err
	}
	loaded, err := t.loadAll(ctx, file, "0", []string{"", flussLZ4, flussPlain}, file.rows()/file.recorded)
	if err != nil {
		return err
	}
	rows, records := file.rows(), file.recorded*(file.rows()/file.recorded)
	arms := []arm{
		{quiverName, pyarrowName, defaults, readOnly, t.scanQuiverPy(file, loaded.quiver, nil, 2)},
		{quiverName, goName, defaults, readOnly, t.scanQuiverGo(file, loaded.quiver, nil, 2)},
		{flussName, pyflussName, defaults, readOnly, t.scanPyfluss(file, loaded.fluss[0], nil, 1, "")},
		{flussName, pyflussName, flussLZ4, readOnly, t.scanPyfluss(file, loaded.fluss[1], nil, 1, "")},
		{flussName, pyflussName, flussPlain, readOnly, t.scanPyfluss(file, loaded.fluss[2], nil, 1, "")},
		{flussName, pyflussName, pyflussLargeFetch, readOnly, t.scanPyfluss(file, loaded.fluss[0], nil, 1, pyflussLargeFetch)},
		{flussName, javaName, "defaults, row by row", readOnly, t.scanJava(t.f.pids(), t.f.java, file, loaded.fluss[0], rows, order{})},
		{kafkaName, javaName, defaults, readOnly, t.scanJava(t.k.pids(), t.k.java, file, loaded.kafka, records, order{})},
		{kafkaName, javaName, kafkaLargeFetch, readOnly, t.scanJava(t.k.pids(), t.k.java, file, loaded.kafka, records, order{"conf": kafkaLargeFetch})},
	}
	r.Notes = []string{
		file.describe() + fmt.Sprintf("; Kafka has %d records of the same rows, sent with %s. Everything lies in the page cache. One reader.", records, kafkaBatches),
		"Arrow clients look at each batch, the Java clients at each row; Kafka's takes the length of each value and decodes nothing.",
	}
	for _, mine := range []int{0, 1} {
		for other := 2; other < len(arms); other++ {
			r.pair(rowsPerSec, &arms[mine], &arms[other])
		}
	}
	for other := 2; other < len(arms); other++ {
		r.pair(serverCPU, &arms[0], &arms[other])
	}
	return t.thenDrop(ctx, loaded, p.takeTurns(ctx, r, p.rounds, arms))
}

// tables are the same rows in all systems.
type tables struct {
	quiver, kafka string
	fluss         []string // one for each set of properties
}

// loadAll loads a file into a new table of each system, cut to batches of so many rows ("0": as they are). Kafka gets
// the records several times.
func (t *trio) loadAll(ctx context.Context, file *datafile, batch string, flussProperties []string, times int) (l tables, err error) {
	o := order{"do": "append", "file": file.arrow, "batch": batch}
	l.quiver, l.kafka = t.table(file.name), t.table(file.name)
	if err := t.q.create(ctx, l.quiver, file.columns, ""); err != nil {
		return l, err
	}
	if _, err := t.q.python.do(ctx, o.with(order{"table": l.quiver})); err != nil {
		return l, err
	}
	for _, properties := range flussProperties {
		table := t.table(file.name)
		l.fluss = append(l.fluss, table)
		if err := t.f.create(ctx, table, file.columns, "", properties); err != nil {
			return l, err
		}
		if _, err := t.f.python.do(ctx, o.with(order{"table": table})); err != nil {
			return l, err
		}
	}
	if err := t.k.create(ctx, l.kafka, ""); err != nil {
		return l, err
	}
	for range times {
		if _, err := t.k.java.do(ctx, order{"do": "append", "file": file.records, "table": l.kafka, "conf": kafkaBatches}); err != nil {
			return l, err
		}
	}
	t.logf("loaded %s", file.name)
	return l, nil
}

// thenDrop drops the tables after a run, to give the disk back.
func (t *trio) thenDrop(ctx context.Context, l tables, err error) error {
	if err != nil {
		return err
	}
	if err := t.q.drop(ctx, l.quiver); err != nil {
		return err
	}
	for _, table := range l.fluss {
		if err := t.f.drop(ctx, table); err != nil {
			return err
		}
	}
	return t.k.drop(ctx, l.kafka)
}

// scanned checks that a scan read everything.
func scanned(m metrics, a answer, err error, rows int) (metrics, error) {
	if err == nil && a.Rows != int64(rows) {
		err = fmt.Errorf("%d of %d rows were read", a.Rows, rows)
	}
	return m, err
}

func (t *trio) scanQuiverPy(file *datafile, table string, columns []string, times int) func(context.Context) (metrics, error) {
	o := order{"do": "scan", "table": table, "columns": strings.Join(columns, ","), "times": strconv.Itoa(times)}
	return func(ctx context.Context) (metrics, error) {
		m, a, err := ordered(ctx, t.q.pids(), t.q.python, file.bytesOf(columns), times, o)
		return scanned(m, a, err, file.rows())
	}
}

func (t *trio) scanPyfluss(file *datafile, table string, columns []string, times int, conf string) func(context.Context) (metrics, error) {
	o := order{"do": "scan", "table": table, "columns": strings.Join(columns, ","), "times": strconv.Itoa(times), "rows": strconv.Itoa(file.rows()), "conf": conf}
	return func(ctx context.Context) (metrics, error) {
		m, a, err := ordered(ctx, t.f.pids(), t.f.python, file.bytesOf(columns), times, o)
		return scanned(m, a, err, file.rows())
	}
}

// scanJava reads by one of the Java clients.
func (t *trio) scanJava(pids []int, c *client, file *datafile, table string, rows int, more order) func(context.Context) (metrics, error) {
	o := order{"do": "scan", "table": table, "rows": strconv.Itoa(rows)}.with(more)
	return func(ctx context.Context) (metrics, error) {
		m, a, err := ordered(ctx, pids, c, file.rowBytes, 1, o)
		return scanned(m, a, err, rows)
	}
}

func (t *trio) scanQuiverGo(file *datafile, table string, columns []string, times int) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		m, a, err := inHere(t.q.pids(), file.bytesOf(columns), times, func() (answer, error) {
			rows := int64(0)
			a, err := timed(0, func() error {
				for range times {
					n, err := t.scanGo(ctx, table, columns)
					if err != nil {
						return err
					}
					rows += n
				}
				return nil
			})
			a.Seconds /= float64(times)
			a.Rows = rows / int64(times)
			return a, err
		})
		return scanned(m, a, err, file.rows())
	}
}

// scanGo reads a table by the Go client.
func (t *trio) scanGo(ctx context.Context, table string, columns []string) (rows int64, err error) {
	scanner, err := t.q.client.Scan(ctx, flight.ScanCommand{Table: flight.Named(table), Columns: columns})
	if err != nil {
		return 0, err
	}
	defer scanner.Close()
	for scanner.Next() {
		rows += scanner.Batch().NumRows()
	}
	return rows, scanner.Err()
}

// bytesOf is what some columns of a row have in Arrow; of none: the whole row.
func (f *datafile) bytesOf(columns []string) float64 {
	if len(columns) == 0 {
		return f.rowBytes
	}
	batch := f.generate(0)
	defer batch.Release()
	total := 0
	for i, field := range batch.Schema().Fields() {
		for _, name := range columns {
			if field.Name == name {
				total += columnBytes(batch.Column(i))
			}
		}
	}
	return float64(total) / float64(f.batch)
}

// projections are what the jobs on columns read, of wide20.
var projections = []struct {
	name    string
	columns []string
	times   int // passes of a turn: a short one says little
}{
	{"1 of 20 (int32)", []string{"s2"}, 5},
	{"1 of 20 (utf8)", []string{"t2"}, 2},
	{"5 of 20", []string{"i1", "f1", "s1", "t1", "t3"}, 2},
	{"20 of 20", nil, 1},
}

func runColumnsLarge(ctx context.Context, p *peers, r *result) error {
	return runColumns(ctx, p, r, "0", 65_536)
}

func runColumnsSmall(ctx context.Context, p *peers, r *result) error {
	return runColumns(ctx, p, r, "1000", 1000)
}

// runColumns reads few columns of many.
func runColumns(ctx context.Context, p *peers, r *result, batch string, rows int) error {
	t, err := p.all(ctx)
	if err != nil {
		return err
	}
	file, err := p.data(wide20(p.size(65_536, 8192), p.size(48, 2)), p.size(256<<10, 8192))
	if err != nil {
		return err
	}
	repeats := p.size(4, 1)
	loaded, err := t.loadAll(ctx, file, batch, []string{"", flussPlain}, repeats)
	if err != nil {
		return err
	}
	var arms []arm
	named := func(setting, projection string) string { return setting + ", " + projection }
	for _, pr := range projections {
		arms = append(arms,
			arm{quiverName, pyarrowName, named(defaults, pr.name), readOnly, t.scanQuiverPy(file, loaded.quiver, pr.columns, pr.times)},
			arm{quiverName, goName, named(defaults, pr.name), readOnly, t.scanQuiverGo(file, loaded.quiver, pr.columns, pr.times)},
			arm{flussName, pyflussName, named(defaults, pr.name), readOnly, t.scanPyfluss(file, loaded.fluss[0], pr.columns, pr.times, "")},
			arm{flussName, pyflussName, named(flussPlain, pr.name), readOnly, t.scanPyfluss(file, loaded.fluss[1], pr.columns, pr.times, "")},
		)
	}
	records := repeats * file.recorded
	kafka := arm{kafkaName, javaName, named(kafkaLargeFetch, "all of 20, whatever is asked for"), readOnly,
		t.scanJava(t.k.pids(), t.k.java, file, loaded.kafka, records, order{"conf": kafkaLargeFetch, "decode": "1"})}
	arms = append(arms, kafka)
	r.Notes = []string{
		file.describe() + fmt.Sprintf(", written in batches of %d rows. Everything lies in the page cache. MB/s are of the columns that were asked for.", rows),
		fmt.Sprintf("A scan of Fluss or Quiver includes opening it; short ones are done up to %d times a turn. Kafka cannot read less than whole records: its one arm reads %d of them and decodes one number of each.", projections[0].times, records),
	}
	for i := range projections {
		at := 4 * i
		r.pair(rowsPerSec, &arms[at], &arms[at+2])
		r.pair(rowsPerSec, &arms[at], &arms[at+3])
		r.pair(rowsPerSec, &arms[at], &kafka)
		r.pair(serverCPU, &arms[at], &arms[at+2])
		r.pair(serverCPU, &arms[at], &arms[at+3])
	}
	return t.thenDrop(ctx, loaded, p.takeTurns(ctx, r, p.rounds, arms))
}
