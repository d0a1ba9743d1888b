package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// Columns of the primary-key tables.
var (
	currentColumns = []quiver.ColumnSpec{
		{Name: "k", Type: "int64", Nullable: new(bool)},
		{Name: "client", Type: "int32"},
		{Name: "n", Type: "int64"},
		{Name: "text", Type: "string"},
	}
	countColumns = []quiver.ColumnSpec{
		{Name: "k", Type: "int64", Nullable: new(bool)},
		{Name: "count", Type: "int64"},
		{Name: "client", Type: "int32"},
		{Name: "n", Type: "int64"},
	}
	onceColumns = []quiver.ColumnSpec{
		{Name: "word", Type: "string", Nullable: new(bool)},
		{Name: "id", Type: "int64"},
	}
	sumColumns = []quiver.ColumnSpec{
		{Name: "k", Type: "int64", Nullable: new(bool)},
		{Name: "total", Type: "int64"},
		{Name: "times", Type: "int64"},
		{Name: "largest", Type: "int64"},
	}
)

// ints is a column of integers.
func ints(values ...int64) arrow.Array {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(values, nil)
	return b.NewArray()
}

// batchOf makes a batch of columns of one length.
func batchOf(names []string, columns ...arrow.Array) arrow.RecordBatch {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: names[i], Type: c.DataType(), Nullable: true}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(columns[0].Len()))
}

// column gives a column of a batch by its name.
func column(batch arrow.RecordBatch, name string) arrow.Array {
	for i, f := range batch.Schema().Fields() {
		if f.Name == name {
			return batch.Column(i)
		}
	}
	return array.NewNull(int(batch.NumRows()))
}

// textAt gives a value as text, which outlives the batch.
func textAt(a arrow.Array, i int) string { return strings.Clone(a.ValueStr(i)) }

// intAt gives an integer, 0 for null.
func intAt(a arrow.Array, i int) int64 {
	if a.IsNull(i) {
		return 0
	}
	n, _ := strconv.ParseInt(a.ValueStr(i), 10, 64)
	return n
}

// upserter puts and deletes rows of keys that are its own, and reads them back.
type upserter struct {
	*client
	n   int64
	may map[int64][]string // by key: what it may hold, rowText; one thing where that is known
}

// upsertKeys is how many keys one client has.
const upsertKeys = 12

// absent is the text of a row that is not there.
const absent = "-"

func newUpserter(c *client) *upserter {
	u := &upserter{client: c, may: map[int64][]string{}}
	for i := range int64(upsertKeys) {
		u.may[u.key(i)] = []string{absent}
	}
	return u
}

func (u *upserter) key(i int64) int64 { return int64(u.number)*1000 + i }

// rowText tells a row of an upserter.
func rowText(client int32, n int64, text string) string {
	return fmt.Sprintf("%d/%d/%d", client, n, len(text))
}

// textOfUpsert is the text of a row.
func textOfUpsert(n int64) string { return strings.Repeat("x", int(n*7919%1500)) }

func (u *upserter) session(ctx context.Context, c *conn) (done bool, err error) {
	for range 1 + u.random.IntN(30) {
		if err := u.change(ctx, c); err != nil {
			return false, err
		}
		if u.random.IntN(3) == 0 {
			if err := u.look(ctx, c); err != nil {
				return false, err
			}
		}
		if u.ends() {
			return true, u.look(ctx, c)
		}
	}
	return false, nil
}

// change puts or deletes some rows, the same key perhaps several times.
func (u *upserter) change(ctx context.Context, c *conn) error {
	n := 1 + u.random.IntN(6)
	command := putCommand{Put: u.table}
	left := map[int64]string{}
	keys, ns := make([]int64, n), make([]int64, n)
	for i := range n {
		keys[i] = u.key(u.random.Int64N(upsertKeys))
	}
	var batch arrow.RecordBatch
	if u.random.IntN(4) == 0 {
		command.Op = "delete"
		for _, k := range keys {
			left[k] = absent
		}
		batch = batchOf([]string{"k"}, ints(keys...))
	} else {
		clients, texts := array.NewInt32Builder(memory.DefaultAllocator), array.NewStringBuilder(memory.DefaultAllocator)
		for i, k := range keys {
			u.n++
			ns[i] = u.n
			clients.Append(u.number)
			texts.Append(textOfUpsert(u.n))
			left[k] = rowText(u.number, u.n, textOfUpsert(u.n))
		}
		batch = batchOf([]string{"k", "client", "n", "text"}, ints(keys...), clients.NewArray(), ints(ns...), texts.NewArray())
	}
	defer batch.Release()
	u.write(note{Is: isSent, Put: u.n, Key: command.Op, Value: int64(n)})
	err := c.putOne(ctx, command, batch)
	switch {
	case err == nil:
		for k, row := range left {
			u.may[k] = []string{row}
		}
		u.write(note{Is: isDone, Put: u.n})
		u.count("upserts acknowledged", int64(n))
	case surelyNot(err):
		u.write(note{Is: isRefused, Put: u.n})
	default: // taken or not, in each bucket for itself
		for k, row := range left {
			u.may[k] = append(u.may[k], row)
		}
		u.write(note{Is: isUnknown, Put: u.n})
	}
	return err
}

// look reads all keys of the client and settles what was open.
func (u *upserter) look(ctx context.Context, c *conn) error {
	command := flight.LookupCommand{Table: flight.Named(u.table)}
	for k := range u.may {
		command.Keys = append(command.Keys, json.RawMessage(fmt.Sprintf("[%d]", k)))
	}
	batches, err := c.LookupKeys(ctx, command)
	if err != nil {
		return err
	}
	found := map[int64]string{}
	for _, b := range batches {
		k, client, n, text := column(b, "k"), column(b, "client"), column(b, "n"), column(b, "text")
		for i := range int(b.NumRows()) {
			found[intAt(k, i)] = rowText(int32(intAt(client, i)), intAt(n, i), text.ValueStr(i))
		}
		b.Release()
	}
	u.count("lookups", int64(len(u.may)))
	return u.settle("a lookup", found)
}

// settle compares what was found of the client's keys with what they may hold.
func (u *upserter) settle(how string, found map[int64]string) error {
	for k, may := range u.may {
		row, ok := found[k]
		if !ok {
			row = absent
		}
		at := -1
		for i, m := range may {
			if m == row {
				at = i
			}
		}
		if at < 0 {
			return broken("lookup: %s gave %s for key %d of client %d, which may hold %v", how, row, k, u.number, may)
		}
		u.may[k] = []string{row}
	}
	return nil
}

// floors is what of some counters is known to all of their clients.
type floors struct {
	mu    sync.Mutex
	least map[int64]int64 // by key: the highest count that was acknowledged or shown
}

func (f *floors) of(k int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.least[k]
}

func (f *floors) raise(k, count int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.least[k] = max(f.least[k], count)
}

// counter increments counters that it shares with others: it looks one up and puts the next count on the condition that
// it is unchanged. What has no answer it puts again with the same sequence, which is judged before the condition.
type counter struct {
	*client
	floors *floors
	writer uint64
	epoch  int32
	known  bool
	n      int64
	open   *increment
}

type increment struct{ k, count, expected int64 }

// counterKeys is how many counters there are.
const counterKeys = 3

func (k *counter) session(ctx context.Context, c *conn) (done bool, err error) {
	if !k.known {
		row, err := c.InitWriter(ctx, flight.WriterInit{})
		if err != nil {
			return false, err
		}
		k.writer, k.epoch, k.known = uint64(row.WriterID), int32(row.WriterEpoch), true
	}
	for range 1 + k.random.IntN(60) {
		if k.open == nil {
			if k.ends() {
				return true, nil
			}
			if err := k.decide(ctx, c); err != nil {
				return false, err
			}
		}
		if err := k.increment(ctx, c); err != nil {
			return false, err
		}
	}
	return false, nil
}

// decide looks a counter up.
func (k *counter) decide(ctx context.Context, c *conn) error {
	key := k.random.Int64N(counterKeys)
	least := k.floors.of(key)
	batches, err := c.LookupKeys(ctx, flight.LookupCommand{Table: flight.Named(k.table), Columns: []string{"count", "__offset"}, Keys: []json.RawMessage{fmt.Appendf(nil, "[%d]", key)}})
	if err != nil {
		return err
	}
	next := &increment{k: key, count: 1, expected: -1}
	for _, b := range batches {
		if b.NumRows() > 0 {
			next.count, next.expected = 1+intAt(column(b, "count"), 0), intAt(column(b, "__offset"), 0)
		}
		b.Release()
	}
	k.count("lookups", 1)
	if next.count-1 < least {
		return broken("stale: counter %d was looked up as %d, and %d was acknowledged before", key, next.count-1, least)
	}
	k.floors.raise(key, next.count-1)
	k.open = next
	return nil
}

// increment puts what was decided.
func (k *counter) increment(ctx context.Context, c *conn) error {
	client := array.NewInt32Builder(memory.DefaultAllocator)
	client.Append(k.number)
	batch := batchOf([]string{"k", "count", "client", "n", "__expected_offset"}, ints(k.open.k), ints(k.open.count), client.NewArray(), ints(k.n), ints(k.open.expected))
	defer batch.Release()
	k.write(note{Is: isSent, Put: k.n, Rows: 1, Value: k.open.count, Key: strconv.FormatInt(k.open.k, 10)})
	err := c.putOne(ctx, putCommand{Put: k.table, Writer: &k.writer, Epoch: k.epoch, Sequence: &k.n}, batch)
	switch {
	case err == nil:
		k.write(note{Is: isDone, Put: k.n})
		k.floors.raise(k.open.k, k.open.count)
		k.count("increments", 1)
	case quiver.ReasonOf(err) == quiver.ConditionFailed:
		k.write(note{Is: isFailed, Put: k.n})
		k.count("conditions failed", 1)
	default:
		k.write(note{Is: isUnknown, Put: k.n})
		return err
	}
	k.open = nil
	k.n++
	return nil
}

// ids is what of a table of words is known to all of its clients.
type ids struct {
	mu   sync.Mutex
	word map[int64]string
	id   map[string]int64
}

// learn notes an id that was given for a word; the error tells that another one was given before.
func (d *ids) learn(word string, id int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if before, ok := d.id[word]; ok && before != id {
		return broken("insert: %s got the id %d, and had %d", word, id, before)
	}
	if before, ok := d.word[id]; ok && before != word {
		return broken("insert: the id %d was given to %s, and %s has it", id, word, before)
	}
	d.word[id], d.id[word] = word, id
	return nil
}

// inserter gets ids for words, which are made by the first one that asks.
type inserter struct {
	*client
	ids *ids
	n   int64
}

func (s *inserter) session(ctx context.Context, c *conn) (done bool, err error) {
	for range 1 + s.random.IntN(40) {
		if s.ends() {
			return true, nil
		}
		command := flight.LookupCommand{Table: flight.Named(s.table), InsertMissing: true}
		asked := map[string]bool{}
		for range 1 + s.random.IntN(4) {
			s.n++
			word := fmt.Sprintf("w%d", max(0, s.n/2-s.random.Int64N(20)))
			asked[word] = true
		}
		for word := range asked {
			command.Keys = append(command.Keys, fmt.Appendf(nil, `["%s"]`, word))
		}
		batches, err := c.LookupKeys(ctx, command)
		if err != nil {
			return false, err
		}
		got := 0
		for _, b := range batches {
			words, numbers := column(b, "word"), column(b, "id")
			for i := range int(b.NumRows()) {
				got++
				word, id := textAt(words, i), intAt(numbers, i)
				s.write(note{Is: isFound, Key: word, Value: id})
				if err := s.ids.learn(word, id); err != nil {
					return false, err
				}
			}
			b.Release()
		}
		if got != len(asked) {
			return false, broken("insert: %d words were asked for, %d found", len(asked), got)
		}
		s.count("ids given", int64(got))
	}
	return false, nil
}

// summer adds to sums as a named writer: every addition counts once.
type summer struct {
	*named
	batches [][]sumRow
	total   map[int64]int64
	times   map[int64]int64
	largest map[int64]int64
}

type sumRow struct{ k, total int64 }

func newSummer(c *client) *summer {
	s := &summer{named: &named{client: c, most: 40, unacked: 64 << 10}, total: map[int64]int64{}, times: map[int64]int64{}, largest: map[int64]int64{}}
	s.make, s.batch = s.add, s.rows
	s.done = func(int64) { s.count("sums acknowledged", 1) }
	return s
}

// add makes the next additions.
func (s *summer) add() {
	rows := make([]sumRow, 1+s.random.IntN(20))
	for i := range rows {
		rows[i] = sumRow{s.random.Int64N(5), 1 + s.random.Int64N(1000)} // never 0: a batch always leaves a row
		s.total[rows[i].k] += rows[i].total
		s.times[rows[i].k]++
		s.largest[rows[i].k] = max(s.largest[rows[i].k], rows[i].total)
	}
	s.batches = append(s.batches, rows)
}

func (s *summer) rows(i int64) arrow.RecordBatch {
	rows := s.batches[i]
	k, total, times := make([]int64, len(rows)), make([]int64, len(rows)), make([]int64, len(rows))
	for i, r := range rows {
		k[i], total[i], times[i] = r.k, r.total, 1
	}
	return batchOf([]string{"k", "total", "times", "largest"}, ints(k...), ints(total...), ints(times...), ints(total...))
}
