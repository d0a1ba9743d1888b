package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/registertest"
)

// registerKey and registerRow are a key and a row of the table that these tests take for a set of registers, registerPut
// is what an upserter takes.
type (
	registerKey struct {
		Key int64 `arrow:"k"`
	}
	registerRow struct {
		Key     int64 `arrow:"k"`
		Value   int64 `arrow:"v"`
		Version int64 `arrow:"__offset"`
	}
	registerPut struct {
		Key      int64  `arrow:"k"`
		Value    int64  `arrow:"v"`
		Expected *int64 `arrow:"__expected_offset"`
	}
)

const registers = "registers"

var registerColumns = []string{"k", "v", "__offset"}

func makeRegisters(t testing.TB, c *flight.Client, buckets int32) {
	t.Helper()
	required := new(bool)
	if _, err := c.CreateTable(t.Context(), flight.TableCreate{Table: flight.Named(registers), Buckets: &buckets, PrimaryKey: []string{"k"},
		Schema: flight.SchemaWord{Columns: []quiver.ColumnSpec{
			{Name: "k", Type: "int64", Nullable: required},
			{Name: "v", Type: "int64", Nullable: required, Default: json.RawMessage("0")}}}}); err != nil {
		t.Fatal(err)
	}
}

// registersOf reads an answer, or rows of a table, with columns k, v and __offset, from the first of them on.
func registersOf(batch arrow.RecordBatch, first int) (rows []registerRow) {
	column := func(i int) []int64 { return batch.Column(first + i).(*array.Int64).Int64Values() }
	for i := range int(batch.NumRows()) {
		rows = append(rows, registerRow{column(0)[i], column(1)[i], column(2)[i]})
	}
	return rows
}

// clerks is what the callers of one history have in common.
type clerks struct {
	history *registertest.History
	addr    string
	base    int64 // keys are [base, base+keys)
	keys    int64
	patient *flight.Client   // which goes on over the deaths of the server
	lookups *flight.Lookuper // of it
	ended   chan struct{}    // gets a signal whenever a call has ended
	stop    chan struct{}    // closed once no more calls are to be made
}

// await waits until so many calls have ended.
func (c *clerks) await(ctx context.Context, calls int) {
	for range calls {
		select {
		case <-c.ended:
		case <-ctx.Done():
		}
	}
}

// clerk is one caller.
type clerk struct {
	*clerks
	id     int64
	rng    *rand.Rand
	values int64
	seen   map[int64]registerRow                     // as it was told last
	find   *flight.Lookups[registerKey, registerRow] // of the patient client
	raw    *flight.Client                            // which tries nothing again, nil: to be made
	insert *flight.Lookuper                          // of it
	writer *flight.Appender                          // of the patient client, nil: to be made
	rows   *flight.Upserter[registerPut]
	wrote  flight.Offsets // up to where its puts are known to have gone
}

// work makes calls until it is told to stop.
func (c *clerk) work(ctx context.Context) error {
	var err error
	if c.find, err = flight.LookupsOf[registerKey, registerRow](ctx, c.lookups); err != nil {
		return err
	}
	defer c.hangUp()
	defer c.closeWriter(ctx)
	for {
		if c.raw == nil {
			if c.raw, err = flight.Dial(c.addr, flight.ClientOptions{RetryFor: -1}); err != nil {
				return err
			}
			c.insert = c.raw.Lookup(registers, flight.LookupOptions{Columns: registerColumns, InsertMissing: true})
		}
		if err := c.call(ctx); err != nil {
			return err
		}
		select {
		case c.ended <- struct{}{}:
		case <-c.stop:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// hangUp ends the client that tries nothing again.
func (c *clerk) hangUp() {
	if c.raw != nil {
		c.insert.Close()
		_ = c.raw.Close()
		c.raw = nil
	}
}

// call makes one random call. An error is one that no caller should get.
func (c *clerk) call(ctx context.Context) error {
	key := c.base + c.rng.Int64N(c.keys)
	switch n := c.rng.IntN(20); {
	case n < 6:
		return c.look(ctx, key)
	case n < 7:
		return c.insertMissing(ctx, key)
	case n < 9:
		return c.lookRaw(ctx, key)
	case n < 10:
		return c.scan(ctx)
	case n < 11:
		return c.putMany(ctx)
	case n < 15:
		return c.putRaw(ctx, c.change(key))
	}
	return c.put(ctx, c.change(key))
}

// change makes a random change of a key, often one that is based on what was seen last.
func (c *clerk) change(key int64) registertest.Call {
	c.values++
	call := registertest.Call{Key: key, Kind: registertest.Upsert, Value: c.id<<32 + c.values}
	seen, ok := c.seen[key]
	if c.rng.IntN(4) == 0 {
		call.Kind, call.Value = registertest.Delete, 0
	} else if ok && c.rng.IntN(6) == 0 {
		call.Value = seen.Value // which changes nothing, if it is there still
	}
	if ok && c.rng.IntN(2) == 0 {
		call.Conditional, call.Expected = true, seen.Version
	}
	return call
}

// found notes what a lookup gave.
func (c *clerk) found(p *registertest.Pending, key int64, row registerRow, found bool) error {
	if !found {
		row = registerRow{Key: key, Version: registertest.Absent}
	}
	p.Done(registertest.Answer{Found: found, Value: row.Value, Version: row.Version})
	c.seen[key] = row
	if row.Key != key {
		return fmt.Errorf("asked for key %d, got that of %d", key, row.Key)
	}
	return nil
}

// look looks a key up with the patient client.
func (c *clerk) look(ctx context.Context, key int64) error {
	p := c.history.Begin(registertest.Call{Key: key})
	row, found, err := c.find.Get(ctx, registerKey{key})
	if err != nil {
		return err
	}
	return c.found(p, key, row, found)
}

// insertMissing inserts a key if it is missing, in one try: each try inserts for itself.
func (c *clerk) insertMissing(ctx context.Context, key int64) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "k", Type: arrow.PrimitiveTypes.Int64}}, nil))
	defer b.Release()
	b.Field(0).(*array.Int64Builder).Append(key)
	keys := b.NewRecordBatch()
	defer keys.Release()
	p := c.history.Begin(registertest.Call{Key: key, Kind: registertest.InsertMissing})
	batch, err := c.insert.Find(ctx, keys)
	if err != nil {
		return c.failed(ctx, p, err)
	}
	defer batch.Release()
	rows := append(registersOf(batch, 1), registerRow{})
	return c.found(p, key, rows[0], len(rows) > 1)
}

// lookRaw does it in one try, and asks for all that it wrote itself.
func (c *clerk) lookRaw(ctx context.Context, key int64) error {
	call := registertest.Call{Key: key}
	command := flight.LookupCommand{Table: flight.Named(registers), Columns: registerColumns,
		Keys: []json.RawMessage{fmt.Appendf(nil, "[%d]", key)}, MinOffsets: c.wrote}
	if c.rng.IntN(4) == 0 {
		call.Kind, command.InsertMissing = registertest.InsertMissing, true
	}
	p := c.history.Begin(call)
	batches, err := c.raw.LookupKeys(ctx, command)
	if err != nil {
		return c.failed(ctx, p, err)
	}
	var rows []registerRow
	for _, batch := range batches {
		rows = append(rows, registersOf(batch, 1)...)
		batch.Release()
	}
	rows = append(rows, registerRow{})
	return c.found(p, key, rows[0], len(rows) > 1)
}

// scan reads all keys of the history at once.
func (c *clerk) scan(ctx context.Context) error {
	var pending []*registertest.Pending
	for key := range c.keys {
		pending = append(pending, c.history.Begin(registertest.Call{Key: c.base + key}))
	}
	rows, err := readRegisters(ctx, c.raw, c.base, c.keys)
	if err != nil {
		for _, p := range pending[1:] {
			p.Never()
		}
		return c.failed(ctx, pending[0], err)
	}
	for i, p := range pending {
		row, ok := rows[c.base+int64(i)]
		if !ok {
			row.Key = c.base + int64(i)
		}
		if err := c.found(p, row.Key, row, ok); err != nil {
			return err
		}
	}
	return nil
}

// readRegisters reads the rows with keys [base, base+keys).
func readRegisters(ctx context.Context, c *flight.Client, base, keys int64) (map[int64]registerRow, error) {
	s, err := c.Scan(ctx, flight.ScanCommand{Table: flight.Named(registers), Read: flight.ReadTable, Columns: registerColumns,
		KeyRange: fmt.Appendf(nil, `{"from":[%d],"until":[%d]}`, base, base+keys)})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	rows := map[int64]registerRow{}
	for batch, err := range s.Batches() {
		if err != nil {
			return nil, err
		}
		for _, row := range registersOf(batch, 0) {
			if _, twice := rows[row.Key]; twice {
				return nil, fmt.Errorf("key %d comes twice", row.Key)
			}
			rows[row.Key] = row
		}
	}
	return rows, nil
}

// openWriter sees to it that there is a writer of the patient client.
func (c *clerk) openWriter(ctx context.Context) error {
	for c.writer == nil {
		w, err := c.patient.Append(ctx, registers, flight.AppendOptions{})
		if err == nil {
			if c.rows, err = flight.UpserterOf[registerPut](ctx, w); err == nil {
				c.writer = w
				return nil
			}
			_, _ = w.Close(ctx)
		}
		if quiver.ReasonOf(err) != quiver.Unreachable {
			return err
		}
		if err := c.untilServed(ctx); err != nil {
			return err
		}
	}
	return nil
}

// closeWriter ends it. What it wrote was flushed.
func (c *clerk) closeWriter(ctx context.Context) {
	if c.writer != nil {
		_, _ = c.writer.Close(ctx)
		c.writer = nil
	}
}

// write upserts or deletes a row with the writer, which sees to it that this is done once.
func (c *clerk) write(ctx context.Context, row registerPut, gone bool) error {
	do := c.rows.Upsert
	if gone {
		do = c.rows.Delete
	}
	err := do(ctx, row)
	if err == nil {
		_, err = c.writer.Flush(ctx)
	}
	if err != nil { // which ends a writer
		c.closeWriter(ctx)
	}
	return err
}

// put makes a change with the patient client.
func (c *clerk) put(ctx context.Context, call registertest.Call) error {
	if err := c.openWriter(ctx); err != nil {
		return err
	}
	row := registerPut{Key: call.Key, Value: call.Value}
	if call.Conditional {
		row.Expected = &call.Expected
	}
	p := c.history.Begin(call)
	err := c.write(ctx, row, call.Kind == registertest.Delete)
	if quiver.ReasonOf(err) == quiver.ConditionFailed {
		return c.refused(p, call, err)
	}
	if err != nil {
		return err
	}
	p.Done(registertest.Answer{Version: registertest.Untold})
	c.told(call, registertest.Untold)
	return nil
}

// refused notes a condition that failed.
func (c *clerk) refused(p *registertest.Pending, call registertest.Call, err error) error {
	var e *quiver.Error
	errors.As(err, &e)
	version, bad := strconv.ParseInt(e.Meta["offset"], 10, 64)
	if bad != nil || e.Outcome != quiver.NotDone || !call.Conditional {
		return fmt.Errorf("%+v was refused: %w, %v, offset %q", call, err, e.Outcome, e.Meta["offset"])
	}
	p.Refused(version)
	delete(c.seen, call.Key)
	return nil
}

// told notes what a put's answer told about the key.
func (c *clerk) told(call registertest.Call, version int64) {
	switch {
	case call.Kind == registertest.Delete:
		c.seen[call.Key] = registerRow{Key: call.Key, Version: registertest.Absent}
	case version == registertest.Untold:
		delete(c.seen, call.Key)
	default:
		c.seen[call.Key] = registerRow{call.Key, call.Value, version}
	}
}

// changes makes a batch of changes of the same kind, each of another key.
func changes(calls []registertest.Call) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		{Name: "k", Type: arrow.PrimitiveTypes.Int64}, {Name: "v", Type: arrow.PrimitiveTypes.Int64},
		{Name: "__expected_offset", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil))
	defer b.Release()
	for _, call := range calls {
		b.Field(0).(*array.Int64Builder).Append(call.Key)
		b.Field(1).(*array.Int64Builder).Append(call.Value)
		if call.Conditional {
			b.Field(2).(*array.Int64Builder).Append(call.Expected)
		} else {
			b.Field(2).AppendNull()
		}
	}
	return b.NewRecordBatch()
}

// putOnce puts changes of one kind in one try.
func (c *clerk) putOnce(ctx context.Context, calls ...registertest.Call) (flight.AppendTotals, error) {
	o := flight.AppendOptions{Unsequenced: true, Op: flight.OpUpsert}
	if calls[0].Kind == registertest.Delete {
		o.Op = flight.OpDelete
	}
	w, err := c.raw.Append(ctx, registers, o)
	if err != nil {
		return flight.AppendTotals{}, err
	}
	batch := changes(calls)
	defer batch.Release()
	err = w.Append(ctx, batch)
	totals, closed := w.Close(ctx)
	if err == nil {
		err = closed
	}
	return totals, err
}

// putRaw makes a change in one try.
func (c *clerk) putRaw(ctx context.Context, call registertest.Call) error {
	p := c.history.Begin(call)
	totals, err := c.putOnce(ctx, call)
	if quiver.ReasonOf(err) == quiver.ConditionFailed {
		return c.refused(p, call, err)
	}
	if err != nil {
		return c.failed(ctx, p, err)
	}
	if len(totals.Ranges) == 0 {
		p.Done(registertest.Answer{Version: registertest.Untold, Effect: registertest.Unchanged})
		return nil
	}
	r := totals.Ranges[0]
	version := int64(r.Until) - 1
	p.Done(registertest.Answer{Version: version, Effect: registertest.Changed})
	c.told(call, version)
	if c.wrote.Buckets == nil {
		c.wrote.Buckets = map[int32]quiver.Offset{}
	}
	c.wrote.Buckets[r.Bucket] = max(c.wrote.Buckets[r.Bucket], r.Until)
	return nil
}

// putMany changes several keys in one batch, in one try.
func (c *clerk) putMany(ctx context.Context) error {
	kind := registertest.Upsert
	if c.rng.IntN(4) == 0 {
		kind = registertest.Delete
	}
	var calls []registertest.Call
	var pending []*registertest.Pending
	for _, key := range c.rng.Perm(int(c.keys))[:2+c.rng.IntN(2)] {
		c.values++
		calls = append(calls, registertest.Call{Key: c.base + int64(key), Kind: kind, Value: c.id<<32 + c.values})
		pending = append(pending, c.history.Begin(calls[len(calls)-1]))
	}
	_, err := c.putOnce(ctx, calls...)
	for i, p := range pending {
		if err == nil {
			p.Done(registertest.Answer{Version: registertest.Untold})
			c.told(calls[i], registertest.Untold)
		} else if failed := c.failed(ctx, p, err); failed != nil {
			return failed
		}
	}
	return nil
}

// failed notes a call that got no answer because the server died, and waits until it lives again.
func (c *clerk) failed(ctx context.Context, p *registertest.Pending, err error) error {
	if quiver.ReasonOf(err) != quiver.Unreachable {
		return err
	}
	if quiver.OutcomeOf(err) == quiver.NotDone {
		p.Never()
	} else {
		p.Lost()
	}
	c.hangUp()
	return c.untilServed(ctx)
}

// untilServed waits until the server lives.
func (c *clerk) untilServed(ctx context.Context) error {
	_, _, err := c.find.Get(ctx, registerKey{-1})
	return err
}

// TestClientLinearizableOverKills kills the server with SIGKILL, at any moment and at the points of a group commit and of
// applying it to the rows, under callers that look rows up, upsert and delete them, some on condition, and insert what is
// missing, each key a register of its own: there is an order of all calls that explains all answers.
func TestClientLinearizableOverKills(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const keys, lives, callers = 10, 6, 6
	end := time.Now().Add(tortureTime(t))
	var mu sync.Mutex // guards history
	history := registertest.New()
	m := live(t, seed, append([]string{"kv.open.before", "kv.advance.before-apply", "kv.advance.after-apply"}, commitPoints...), func() {
		mu.Lock()
		defer mu.Unlock()
		history.Died()
	})
	patient := dialTo(t, m.addr, flight.ClientOptions{RetryFor: 5 * time.Minute})
	awaitServer(t, patient)
	makeRegisters(t, patient, 2)
	lookups := patient.Lookup(registers, flight.LookupOptions{Columns: registerColumns})
	defer lookups.Close()
	calls := 0
	for base := int64(0); base == 0 || time.Now().Before(end); base += keys {
		all := &clerks{history: registertest.New(), addr: m.addr, base: base, keys: keys, patient: patient,
			lookups: lookups, ended: make(chan struct{}), stop: make(chan struct{})}
		mu.Lock()
		history = all.history
		mu.Unlock()
		ctx, giveUp := context.WithCancelCause(t.Context())
		var wait sync.WaitGroup
		for id := range int64(callers) {
			c := &clerk{clerks: all, id: 1 + id, rng: rand.New(rand.NewPCG(seed, uint64(base+2+id))), seen: map[int64]registerRow{}}
			wait.Go(func() {
				if err := c.work(ctx); err != nil {
					giveUp(err)
				}
			})
		}
		for range lives {
			all.await(ctx, 1+rng.IntN(200))
			m.kill()
		}
		all.await(ctx, 50)
		close(all.stop)
		wait.Wait()
		err := context.Cause(ctx)
		giveUp(nil)
		if err != nil {
			t.Fatal(err)
		}
		calls += all.history.Len()
		if err := all.history.Check(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d lives, %d calls", m.count(), calls)
}

// tortureTime is how long a test is to go on: no longer than it has to, but for make torture.
func tortureTime(t testing.TB) time.Duration {
	t.Helper()
	text := os.Getenv("QUIVER_TORTURE_SECONDS")
	if text == "" {
		return 0
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("QUIVER_TORTURE_SECONDS is %q: %v", text, err)
	}
	return time.Duration(seconds * float64(time.Second))
}
