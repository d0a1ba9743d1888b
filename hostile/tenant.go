package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// Rates of the tenant, a second.
var rates = map[string]int{"put": 40, "lookup": 80, "read": 20}

const (
	putRows = 100
	keys    = 10_000
)

// tenant is the honest one: it puts batches of rows and waits for each, looks up keys, and reads the newest rows.
type tenant struct {
	client   *flight.Client
	appender *flight.Appender
	lookuper *flight.Lookuper

	mu    sync.Mutex
	next  int64 // number of the next row
	took  map[string][]time.Duration
	fault error
}

// newTenant makes the tenant's tables.
func newTenant(ctx context.Context, address string) (*tenant, error) {
	client, err := flight.Dial(address, flight.ClientOptions{RetryFor: -1})
	if err != nil {
		return nil, err
	}
	t := &tenant{client: client, took: map[string][]time.Duration{}}
	for name, primary := range map[string][]string{"honest_log": nil, "honest_rows": {"n"}} {
		_, err := client.CreateTable(ctx, flight.TableCreate{Table: flight.Named(name), PrimaryKey: primary,
			Schema: flight.SchemaWord{Columns: []quiver.ColumnSpec{{Name: "n", Type: "int64", Nullable: new(bool)}, {Name: "text", Type: "string"}}}})
		if err != nil {
			return nil, err
		}
	}
	loader, err := client.Append(ctx, "honest_rows", flight.AppendOptions{})
	if err != nil {
		return nil, err
	}
	if err := loader.Append(ctx, numbered(0, keys)); err != nil {
		return nil, err
	}
	if _, err := loader.Close(ctx); err != nil {
		return nil, err
	}
	if t.appender, err = client.Append(ctx, "honest_log", flight.AppendOptions{Writer: "honest"}); err != nil {
		return nil, err
	}
	t.lookuper = client.Lookup("honest_rows", flight.LookupOptions{})
	return t, nil
}

// numbered makes the rows [from, until).
func numbered(from, until int64) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "text", Type: arrow.BinaryTypes.String, Nullable: true}}, nil))
	defer b.Release()
	for n := from; n < until; n++ {
		b.Field(0).(*array.Int64Builder).Append(n)
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("row %d of the honest tenant", n))
	}
	return b.NewRecordBatch()
}

// run calls at the rates for a time, and gives how long each kind of call took, from when it was due.
func (t *tenant) run(ctx context.Context, phase time.Duration) (map[string][]time.Duration, error) {
	t.took = map[string][]time.Duration{}
	var wg sync.WaitGroup
	for kind, rate := range rates {
		call := map[string]func(context.Context, int64) error{"put": t.put, "lookup": t.lookup, "read": t.read}[kind]
		wg.Go(func() { t.pace(ctx, kind, phase, time.Second/time.Duration(rate), call) })
	}
	wg.Wait()
	return t.took, t.fault
}

// pace makes calls that are due at fixed times. Those of one kind follow each other: one that is late makes the next
// ones late, and that is measured.
func (t *tenant) pace(ctx context.Context, kind string, phase, every time.Duration, call func(context.Context, int64) error) {
	begin := time.Now()
	for n := int64(0); ; n++ {
		due := begin.Add(time.Duration(n) * every)
		if due.Sub(begin) >= phase {
			return
		}
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return
		}
		err := call(ctx, n)
		t.mu.Lock()
		t.took[kind] = append(t.took[kind], time.Since(due))
		if err != nil && t.fault == nil {
			t.fault = fmt.Errorf("the honest tenant's %s failed: %w", kind, err)
		}
		t.mu.Unlock()
	}
}

func (t *tenant) put(ctx context.Context, _ int64) error {
	t.mu.Lock()
	from := t.next
	t.next += putRows
	t.mu.Unlock()
	batch := numbered(from, from+putRows)
	defer batch.Release()
	if err := t.appender.Append(ctx, batch); err != nil {
		return err
	}
	_, err := t.appender.Flush(ctx)
	return err
}

func (t *tenant) lookup(ctx context.Context, n int64) error {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	b.Append(n * 7919 % keys)
	column := b.NewArray()
	defer column.Release()
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil), []arrow.Array{column}, 1)
	defer batch.Release()
	found, err := t.lookuper.Find(ctx, batch)
	if err != nil {
		return err
	}
	defer found.Release()
	if found.NumRows() != 1 {
		return fmt.Errorf("key %d has %d rows", n*7919%keys, found.NumRows())
	}
	return nil
}

// read reads the newest hundred rows that were put.
func (t *tenant) read(ctx context.Context, _ int64) error {
	until := t.appender.Totals().Rows
	if until == 0 {
		return nil
	}
	rows, err := t.rows(ctx, max(0, until-putRows), until)
	if err == nil && int64(len(rows)) != min(putRows, until) {
		err = fmt.Errorf("%d rows of %d", len(rows), until)
	}
	return err
}

// rows reads the numbers in [from, until).
func (t *tenant) rows(ctx context.Context, from, until int64) (numbers []int64, err error) {
	scanner, err := t.client.Scan(ctx, flight.ScanCommand{Table: flight.Named("honest_log"), Columns: []string{"n"}, Bucket: new(int32),
		From: flight.Position{Kind: flight.AtOffset, Offset: quiver.Offset(from)}, Until: flight.Position{Kind: flight.AtOffset, Offset: quiver.Offset(until)}})
	if err != nil {
		return nil, err
	}
	defer scanner.Close()
	for scanner.Next() {
		numbers = append(numbers, scanner.Batch().Column(0).(*array.Int64).Int64Values()...)
	}
	return numbers, scanner.Err()
}

// check reads everything back: each row once, in order.
func (t *tenant) check(ctx context.Context) error {
	totals, err := t.appender.Close(ctx)
	if err != nil {
		return err
	}
	rows, err := t.rows(ctx, 0, totals.Rows)
	if err != nil {
		return err
	}
	for n, row := range rows {
		if row != int64(n) {
			return fmt.Errorf("row %d of the honest tenant is %d", n, row)
		}
	}
	if int64(len(rows)) != t.next {
		return fmt.Errorf("%d rows were put, %d are there", t.next, len(rows))
	}
	t.lookuper.Close()
	return t.client.Close()
}

// percentile is the value below which so many of a hundred are.
func percentile(of []time.Duration, p float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, int(p/100*float64(len(sorted))))]
}
