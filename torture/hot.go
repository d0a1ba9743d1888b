package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/registertest"
)

// hotColumns are those of the table of registers. A row that is inserted as it was missing has the value 0.
var hotColumns = []quiver.ColumnSpec{
	{Name: "p", Type: "int64", Nullable: new(bool)},
	{Name: "k", Type: "int64", Nullable: new(bool)},
	{Name: "v", Type: "int64", Nullable: new(bool), Default: json.RawMessage("0")},
}

// Keys are used by all clients at one time, and by none any more after a while: the search for an order takes longer than
// the calls of a key are many.
const (
	hotClients = 4
	hotKeys    = 5      // at a time
	hotCalls   = 400    // over these
	hotLost    = 40     // a call that was lost is as much work as so many
	hotMost    = 30_000 // calls of a round
)

// hotKey is the primary key; p is k modulo hotParts, so that a partitioned table can be divided by it.
const (
	hotKey   = "p,k"
	hotParts = 2
)

// hot is one of the clients that look up, upsert, delete and insert the same few rows. What each was told goes into one
// history, and at the end that is to have an order that explains all answers.
type hot struct {
	*client
	history *registertest.History
	values  int64
	seen    map[int64]int64 // by key: the version that was shown last
}

// key gives one of those that are used now.
func (h *hot) key() int64 { return h.firstKey() + h.random.Int64N(hotKeys) }

// firstKey is the first one of those that are used now. Those that calls were lost of are left sooner.
func (h *hot) firstKey() int64 {
	return int64((h.history.Len()+hotLost*h.history.Lost())/hotCalls) * hotKeys
}

func (h *hot) session(ctx context.Context, c *conn) (done bool, err error) {
	for range 1 + h.random.IntN(80) {
		if h.ends() {
			return true, nil
		}
		if h.history.Len() >= hotMost {
			h.pause(retryAfter)
			continue
		}
		if err := h.call(ctx, c); err != nil {
			return false, err
		}
	}
	return false, nil
}

// call makes a random call.
func (h *hot) call(ctx context.Context, c *conn) error {
	keys := []int64{h.key()}
	if h.random.IntN(4) == 0 {
		keys = append(keys, keys[0]/hotKeys*hotKeys+(keys[0]+1)%hotKeys)
	}
	kind := pick(h.random, registertest.Lookup, registertest.Lookup, registertest.Lookup, registertest.Upsert, registertest.Upsert,
		registertest.Upsert, registertest.Delete, registertest.InsertMissing)
	calls := make([]registertest.Call, len(keys))
	for i, k := range keys {
		calls[i] = registertest.Call{Key: k, Kind: kind}
		if kind == registertest.Upsert {
			h.values++
			calls[i].Value = int64(h.number)<<32 + h.values
		}
	}
	if kind == registertest.Lookup || kind == registertest.InsertMissing {
		return h.look(ctx, c, calls)
	}
	if version, ok := h.seen[keys[0]]; ok && h.random.IntN(2) == 0 {
		calls = calls[:1] // a condition that fails leaves nothing of a batch, and its answer is about one key
		calls[0].Conditional, calls[0].Expected = true, version
	}
	return h.change(ctx, c, calls)
}

// begin notes calls.
func (h *hot) begin(calls []registertest.Call) []*registertest.Pending {
	pending := make([]*registertest.Pending, len(calls))
	for i, call := range calls {
		pending[i] = h.history.Begin(call)
	}
	h.count("hot calls", int64(len(calls)))
	return pending
}

// failed notes calls of which nobody knows what became, or that surely nothing did.
func (h *hot) failed(calls []registertest.Call, pending []*registertest.Pending, err error) error {
	for i, p := range pending {
		if surelyNot(err) || calls[i].Kind == registertest.Lookup {
			p.Never()
		} else {
			p.Lost()
		}
	}
	return err
}

// look looks rows up, or inserts those that are missing.
func (h *hot) look(ctx context.Context, c *conn, calls []registertest.Call) error {
	command := flight.LookupCommand{Table: flight.Named(h.table), Columns: []string{"k", "v", "__offset"}, InsertMissing: calls[0].Kind == registertest.InsertMissing}
	for _, call := range calls {
		command.Keys = append(command.Keys, fmt.Appendf(nil, "[%d,%d]", call.Key%hotParts, call.Key))
	}
	pending := h.begin(calls)
	batches, err := c.LookupKeys(ctx, command)
	if err != nil {
		return h.failed(calls, pending, err)
	}
	found := map[int64]registertest.Answer{}
	for _, b := range batches {
		k, v, offset := column(b, "k"), column(b, "v"), column(b, "__offset")
		for i := range int(b.NumRows()) {
			found[intAt(k, i)] = registertest.Answer{Found: true, Value: intAt(v, i), Version: intAt(offset, i)}
		}
		b.Release()
	}
	for i, call := range calls {
		answer, ok := found[call.Key]
		if !ok {
			answer.Version = registertest.Absent
		}
		pending[i].Done(answer)
		h.seen[call.Key] = answer.Version
	}
	return nil
}

// change upserts or deletes rows in one batch.
func (h *hot) change(ctx context.Context, c *conn, calls []registertest.Call) error {
	command := putCommand{Put: h.table}
	if calls[0].Kind == registertest.Delete {
		command.Op = "delete"
	}
	batch := changesOf(calls)
	defer batch.Release()
	pending := h.begin(calls)
	err := c.putOne(ctx, command, batch)
	var e *quiver.Error
	switch {
	case err == nil:
		for _, p := range pending {
			p.Done(registertest.Answer{Version: registertest.Untold})
		}
	case quiver.ReasonOf(err) == quiver.ConditionFailed && errors.As(err, &e):
		version, bad := strconv.ParseInt(e.Meta["offset"], 10, 64)
		if bad != nil || e.Outcome != quiver.NotDone || !calls[0].Conditional {
			return broken("condition: %+v was refused without its reason: %v, %v, %q", calls, err, e.Outcome, e.Meta)
		}
		pending[0].Refused(version)
		h.seen[calls[0].Key] = version
	default:
		return h.failed(calls, pending, err)
	}
	return nil
}

// changesOf makes the batch of several changes of one kind.
func changesOf(calls []registertest.Call) arrow.RecordBatch {
	parts := make([]int64, 0, len(calls))
	keys, values, expected := array.NewInt64Builder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator)
	for _, call := range calls {
		parts = append(parts, call.Key%hotParts)
		keys.Append(call.Key)
		values.Append(call.Value)
		if call.Conditional {
			expected.Append(call.Expected)
		} else {
			expected.AppendNull()
		}
	}
	return batchOf([]string{"p", "k", "v", "__expected_offset"}, ints(parts...), keys.NewArray(), values.NewArray(), expected.NewArray())
}

// judgeHot looks all keys up once more, on a server that is well, and searches for an order of all calls.
func judgeHot(ctx context.Context, c *conn, clients []*hot) error {
	h := clients[0]
	last := h.firstKey() + hotKeys
	for from := int64(0); from < last; from += hotKeys {
		calls := make([]registertest.Call, hotKeys)
		for i := range calls {
			calls[i].Key = from + int64(i)
		}
		if err := h.look(ctx, c, calls); err != nil {
			return err
		}
	}
	if err := h.history.Check(); err != nil {
		return broken("linearizable: %v", err)
	}
	folded, err := foldLog(ctx, c, h.table, hotKey, func(change) error { return nil })
	if err != nil {
		return err
	}
	return judgeFold(ctx, c, h.table, hotKey, folded)
}
