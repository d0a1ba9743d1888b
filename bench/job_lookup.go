package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver/flight"
)

// The arms of J7.
const (
	lookupOne     = "Quiver, one caller, Go client"
	lookupOnePy   = "Quiver, one caller, pyarrow"
	lookupOneK    = "K, one caller"
	lookupOpen    = "Quiver, 1,000 lookups/s, Go client"
	lookupMany    = "Quiver, 128 callers, Go client"
	lookupCrowd   = "Quiver, 1,024 callers, Go client"
	lookupBatch   = "Quiver, batches of 1,000, Go client"
	lookupBatchPy = "Quiver, batches of 1,000, pyarrow"
	lookupBatchK  = "K, batches of 1,000"
	lookupSortedK = "K, batches of 1,000, sorted"
)

const (
	lookupTable   = "customers"
	lookupRate    = 1000 // a second, of the open loop
	lookupKeys    = 1000 // of a batch
	lookupCallers = 4    // batches under way at a time
)

// lookupBed is what J7 works with: the same rows in Quiver and in K.
type lookupBed struct {
	*bench
	keys     int
	quiver   *quiverServer
	lookuper *flight.Lookuper
	found    *flight.Lookups[keyedKey, keyedRow]
	batches  []arrow.RecordBatch // of keys
	floor    *pebbleClient
	round    uint64
}

// keyedKey is the key of D5.
type keyedKey struct {
	ID int64 `arrow:"id"`
}

// runLookup is J7.
func runLookup(ctx context.Context, b *bench, r *result) error {
	bed, err := newLookupBed(ctx, b)
	if err != nil {
		return err
	}
	defer bed.close()
	batches := b.size(100, 2) // of each caller
	floor := func(order pebbleOrder) func(context.Context) (metrics, error) {
		return func(context.Context) (metrics, error) { return bed.onFloor(order) }
	}
	arms := []arm{
		{lookupOne, bed.closed(1, b.size(4000, 20))},
		{lookupOneK, floor(pebbleOrder{Callers: 1, Batch: 1, Batches: b.size(20_000, 20)})},
		{lookupOpen, bed.open(b.size(4*lookupRate, 20))},
		{lookupMany, bed.closed(128, b.size(1000, 2))},
		{lookupCrowd, bed.closed(1024, b.size(200, 1))},
		{lookupBatch, bed.inBatches(batches)},
		{lookupBatchK, floor(pebbleOrder{Callers: lookupCallers, Batch: lookupKeys, Batches: batches})},
		{lookupSortedK, floor(pebbleOrder{Callers: lookupCallers, Batch: lookupKeys, Batches: batches, Sorted: true})},
	}
	if b.client != nil {
		arms = append(arms,
			arm{lookupOnePy, bed.py(1, 1, b.size(2000, 20))},
			arm{lookupBatchPy, bed.py(lookupKeys, lookupCallers, lookupCallers*batches)})
	}
	if r.Arms, err = b.takeTurns(ctx, r.Job, arms); err != nil {
		return err
	}
	r.Notes = []string{
		fmt.Sprintf("%d rows of `kv` (D5, about 100 bytes), all columns asked for, keys uniform, all of them there. Every lookup shows what was acknowledged before it. Client and server share the machine.", bed.keys),
		fmt.Sprintf("Callers look one key up after the other and share a stream. The open loop has %d lookups due a second, one millisecond apart, each measured from when it was due. Batches: %d of them under way at a time.", lookupRate, lookupCallers),
		"K answers in its own process, without a client: as many callers, keys found one by one, or sorted and with one iterator. It has the settings of Quiver's rows, which Quiver holds some of beside Pebble.",
	}
	return nil
}

// judgeLookup judges J7.
func judgeLookup(r *result) {
	r.about("one key")
	for _, name := range []string{lookupOne, lookupOpen} {
		r.atMost(0.15, r.series(name, p50), "p50, ms, "+name)
		r.atMost(0.5, r.series(name, p99), "p99, ms, "+name)
	}
	r.atMost(101.0/300, r.series(lookupOne, p50), "p50, ms, one caller, beside 1/300 of Fluss's by default (101)")
	r.atMost(1.1/7, r.series(lookupOne, p50), "p50, ms, one caller, beside a seventh of Fluss's tuned (1.1)")
	r.about("batches")
	for _, name := range []string{lookupBatch, lookupBatchPy} {
		r.atLeast(500e3, r.series(name, keysPerSec), "keys/s, "+name)
		r.atLeast(0.6, r.ratio(keysPerSec, name, lookupBatchK), "keys/s of K, "+name)
	}
	r.about("many callers")
	r.atLeast(2*236e3, r.series(lookupCrowd, keysPerSec), "keys/s, 1,024 callers, beside 2 × Fluss's 236 K")
}

func newLookupBed(ctx context.Context, b *bench) (*lookupBed, error) {
	batch := b.size(keyedBatch, 256)
	bed := &lookupBed{bench: b, keys: b.size(1<<20, 1<<10)}
	every, err := b.data(keyed("kv-every", batch, bed.keys/batch, everyKey(bed.keys), 0))
	if err != nil {
		return nil, err
	}
	if bed.quiver, err = b.quiverOn(ctx, "quiver", filepath.Join(b.dir, "lookup")); err != nil {
		return nil, err
	}
	if _, err := bed.quiver.act(ctx, "table.create", map[string]any{"table": lookupTable, "primary_key": []string{"id"}, "schema": keyedColumns}); err != nil {
		return nil, err
	}
	conn, err := dial(bed.quiver.address)
	if err != nil {
		return nil, err
	}
	frames, err := every.frames()
	if err != nil {
		return nil, err
	}
	if err := putAll(ctx, conn, pathOf("default", lookupTable), keyedSchema, frames); err != nil {
		return nil, err
	}
	if bed.floor, err = b.pebbleOn(ctx); err != nil {
		return nil, err
	}
	if _, err := bed.floor.do(pebbleOrder{Do: "upsert", Store: lookupTable, File: every.path}); err != nil {
		return nil, err
	}
	client, err := flight.Dial(bed.quiver.address, flight.ClientOptions{})
	if err != nil {
		return nil, err
	}
	bed.lookuper = client.Lookup("default."+lookupTable, flight.LookupOptions{})
	bed.found, err = flight.LookupsOf[keyedKey, keyedRow](ctx, bed.lookuper)
	if err != nil {
		bed.lookuper.Close()
		return nil, err
	}
	bed.makeKeys()
	return bed, nil
}

func (bed *lookupBed) close() {
	bed.lookuper.Close()
	for _, batch := range bed.batches {
		batch.Release()
	}
}

// makeKeys makes the batches of keys that are looked up again and again.
func (bed *lookupBed) makeKeys() {
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil)
	rng := rand.New(rand.NewPCG(7, 7))
	for range bed.size(256, 4) {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for range lookupKeys {
			b.Field(0).(*array.Int64Builder).Append(rng.Int64N(int64(bed.keys)))
		}
		bed.batches = append(bed.batches, b.NewRecordBatch())
		b.Release()
	}
}

// onFloor has K look keys up.
func (bed *lookupBed) onFloor(order pebbleOrder) (metrics, error) {
	bed.round++
	order.Do, order.Store, order.Keys, order.Seed = "get", lookupTable, int64(bed.keys), bed.round
	var times metrics
	m, err := metered(bed.floor.process, 1, func() (w work, err error) {
		w, times, err = bed.floor.work(order)
		return w, err
	})
	if err != nil {
		return nil, err
	}
	m.ofKeys(int64(order.Callers)*int64(order.Batch)*int64(order.Batches), times)
	delete(m, clientRow)
	return m, nil
}

// ofKeys turns metrics of work that was metered as 1 GB into those of keys that were looked up.
func (m metrics) ofKeys(keys int64, times metrics) {
	m.perRow(keys)
	delete(m, rowsPerSec)
	m[keysPerSec] = float64(keys) / m[seconds]
	for name, v := range times {
		m[name] = v
	}
}

// closed has callers look up one key after the other.
func (bed *lookupBed) closed(callers, each int) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		return bed.counted(callers, int64(callers*each), func(rng *rand.Rand, times *histogram) error {
			for range each {
				began := time.Now()
				if err := bed.one(ctx, rng.Int64N(int64(bed.keys))); err != nil {
					return err
				}
				times.record(time.Since(began))
			}
			return nil
		})
	}
}

// one looks one key up.
func (bed *lookupBed) one(ctx context.Context, key int64) error {
	row, ok, err := bed.found.Get(ctx, keyedKey{key})
	if err == nil && (!ok || row.ID != key) {
		err = fmt.Errorf("key %d was not found", key)
	}
	return err
}

// inBatches has a few callers look batches up.
func (bed *lookupBed) inBatches(each int) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		return bed.counted(lookupCallers, int64(lookupCallers*each*lookupKeys), func(rng *rand.Rand, times *histogram) error {
			for range each {
				began := time.Now()
				rows, err := bed.lookuper.Find(ctx, bed.batches[rng.IntN(len(bed.batches))])
				if err != nil {
					return err
				}
				n := rows.NumRows()
				rows.Release()
				if n != lookupKeys {
					return fmt.Errorf("%d rows came of %d keys", n, lookupKeys)
				}
				times.record(time.Since(began))
			}
			return nil
		})
	}
}

// counted runs callers and gives the metrics of the keys they looked up.
func (bed *lookupBed) counted(callers int, keys int64, call func(rng *rand.Rand, times *histogram) error) (metrics, error) {
	bed.round++
	times := newHistogram()
	m, err := metered(bed.quiver.process, 1, func() (work, error) {
		return timed(keys, func() error {
			errs := make([]error, callers)
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					own := newHistogram()
					errs[c] = call(rand.New(rand.NewPCG(bed.round, uint64(c))), own)
					times.merge(own)
				})
			}
			wg.Wait()
			i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
			if i < 0 {
				return nil
			}
			return errs[i] // one is enough
		})
	})
	if err != nil {
		return nil, err
	}
	percentiles := metrics{}
	times.report(percentiles)
	m.ofKeys(keys, percentiles)
	return m, nil
}

// open has lookups go when they are due, whatever became of those before.
func (bed *lookupBed) open(count int) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		return bed.counted(1, int64(count), func(rng *rand.Rand, times *histogram) error {
			clock := time.Now()
			took := make([]time.Duration, count)
			errs := make([]error, count)
			const interval = time.Second / lookupRate
			var wg sync.WaitGroup
			err := whenDue(clock, interval, interval, count, func(i, n int) error {
				for i, n := i, n; n > 0; i, n = i+1, n-1 {
					key := rng.Int64N(int64(bed.keys))
					wg.Go(func() {
						errs[i] = bed.one(ctx, key)
						took[i] = time.Since(clock) - time.Duration(i+1)*interval
					})
				}
				return nil
			})
			wg.Wait()
			for i, d := range took {
				if err == nil {
					err = errs[i] // one is enough
				}
				times.record(d)
			}
			return err
		})
	}
}

// py has pyarrow look batches up, some of them under way at a time.
func (bed *lookupBed) py(batch, underWay, batches int) func(context.Context) (metrics, error) {
	return func(context.Context) (metrics, error) {
		bed.round++
		keys := int64(batch) * int64(batches)
		var times metrics
		m, err := metered(bed.quiver.process, 1, func() (work, error) {
			took, err := bed.client.do(map[string]any{"do": "lookup", "address": bed.quiver.address, "table": "default." + lookupTable, "key": "id",
				"keys": bed.keys, "batch": batch, "under_way": underWay, "batches": batches, "seed": bed.round})
			if err == nil && took.Rows != keys {
				err = fmt.Errorf("%d rows came of %d keys", took.Rows, keys)
			}
			times = took.percentiles()
			return work{seconds: took.Seconds, rows: took.Rows, cpu: took.CPU}, err
		})
		if err != nil {
			return nil, err
		}
		m.ofKeys(keys, times)
		return m, nil
	}
}
