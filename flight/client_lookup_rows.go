package flight

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

// Lookups finds rows by keys that are values of a struct type K, and gives them as values of a struct type V, whose
// fields are named and tagged as Rows says. The fields of K are the columns of the primary key, or its first ones where
// the lookuper has Prefix; those of V are among the columns that it asks for, and a column that may be null stands in
// a pointer, a slice or a map. It is as safe for concurrent use as its lookuper.
//
//	customers, err := flight.LookupsOf[Key, Customer](ctx, lookuper)
//	if err != nil { … }
//	customer, found, err := customers.Get(ctx, Key{17})
type Lookups[K, V any] struct {
	set  *keySet
	key  *K // where the set takes keys from
	plan atomic.Pointer[rowPlan]
}

// LookupsOf makes what looks values of a struct type up. The plan how is made here, once, of the table's schema.
func LookupsOf[K, V any](ctx context.Context, l *Lookuper) (*Lookups[K, V], error) {
	for _, t := range []reflect.Type{reflect.TypeFor[K](), reflect.TypeFor[V]()} {
		if t.Kind() != reflect.Struct {
			return nil, quiver.Errorf(quiver.SchemaMismatch, "the Go type %v is no struct", t)
		}
	}
	if _, err := structFields(reflect.TypeFor[V]()); err != nil {
		return nil, err
	}
	table, err := l.client.TableSchema(ctx, l.command.Table.String())
	if err != nil {
		return nil, err
	}
	set, err := newKeySet(l, reflect.TypeFor[K](), table)
	if err != nil {
		return nil, err
	}
	return &Lookups[K, V]{set: set, key: set.slot.Addr().Interface().(*K)}, nil
}

// Get finds the row of a key, and says whether there is one. Of a prefix it gives the first.
func (s *Lookups[K, V]) Get(ctx context.Context, key K) (row V, found bool, err error) {
	err = s.each(ctx, key, func(next V) bool {
		row, found = next, true
		return false
	})
	return row, found, err
}

// All finds all rows whose key begins with a prefix, in the order of their keys.
func (s *Lookups[K, V]) All(ctx context.Context, prefix K) (rows []V, err error) {
	err = s.each(ctx, prefix, func(next V) bool {
		rows = append(rows, next)
		return true
	})
	return rows, err
}

// each gives the rows of a key to a function until it has enough.
func (s *Lookups[K, V]) each(ctx context.Context, key K, use func(V) bool) error {
	l := s.set.lookuper
	if err := l.lockWithRoom(ctx); err != nil {
		return err
	}
	*s.key = key
	a, index, err := s.set.addLocked()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	defer l.leave(a)
	if err := a.wait(ctx); err != nil {
		return err
	}
	for _, batch := range a.batches {
		places := batch.Column(0).(*array.Int64).Int64Values()
		from := sort.Search(len(places), func(i int) bool { return places[i] >= index })
		for i := from; i < len(places) && places[i] == index; i++ {
			row, err := s.row(batch, i)
			if err != nil || !use(row) {
				return err
			}
		}
	}
	return nil
}

// row makes a value of one row of an answer.
func (s *Lookups[K, V]) row(batch arrow.RecordBatch, i int) (row V, err error) {
	plan := s.plan.Load()
	if plan == nil || !plan.fits(batch.Schema()) {
		if plan, err = newRowPlan(reflect.TypeFor[V](), batch.Schema()); err != nil {
			return row, err
		}
		s.plan.Store(plan)
	}
	return row, plan.read(batch, i, reflect.ValueOf(&row).Elem())
}

// keySet gathers keys of one struct type. Everything in it is guarded by the lookuper's lock.
type keySet struct {
	lookuper *Lookuper
	builder  *array.RecordBuilder
	slot     reflect.Value // where a key is copied to
	takes    []take
	values   binder
	rows     int     // in the builder
	bad      []int   // of them that do not fit
	gathered *asking // that the keys will be, nil if there is none
	underWay int     // requests of this set
	asked    int     // keys of them
}

func newKeySet(l *Lookuper, t reflect.Type, table *arrow.Schema) (*keySet, error) {
	schema, fields, err := structSchema(t, table)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if !table.HasField(f.name) {
			return nil, structFault(t, []string{fmt.Sprintf("the table has no column %q", f.name)})
		}
	}
	s := &keySet{lookuper: l, slot: reflect.New(t).Elem(), builder: array.NewRecordBuilder(l.client.options.Allocator, schema)}
	for i, f := range fields {
		s.takes = append(s.takes, s.values.bind(f.name, s.slot.FieldByIndex(f.index), s.builder.Field(i)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		s.builder.Release()
		return nil, errLookuperClosed
	}
	l.sets = append(l.sets, s)
	return s, nil
}

// addLocked takes the key in the slot and gives the request that it is part of, and its place there.
func (s *keySet) addLocked() (a *asking, index int64, err error) {
	for _, t := range s.takes {
		t()
	}
	s.rows++
	if fault := s.values.fault; fault != nil {
		s.values.fault = nil
		s.bad = append(s.bad, s.rows-1)
		return nil, 0, quiver.Errorf(quiver.SchemaMismatch, "%v", fault).On(fmt.Sprintf("table %s, a key", s.lookuper.command.Table))
	}
	if s.gathered == nil {
		s.gathered = &asking{set: s, ended: make(chan struct{})}
	}
	a, index = s.gathered, int64(s.gathered.rows)
	a.rows++
	a.callers++
	s.lookuper.waiting++
	// One request is looked up while the callers of another go on. A second one goes once it has as many keys as the
	// first, so that neither takes the time of a request for a few keys.
	if s.underWay == 0 || s.underWay == 1 && a.rows >= s.asked || a.rows >= s.lookuper.options.BatchKeys {
		s.cutLocked()
	}
	return a, index, nil
}

// answeredLocked is told when a request of so many keys of this set was answered.
func (s *keySet) answeredLocked(keys int) {
	s.underWay--
	s.asked -= keys
	if s.gathered != nil && !s.lookuper.closing {
		s.cutLocked()
	}
}

// cutLocked makes a request of the keys gathered.
func (s *keySet) cutLocked() {
	a := s.gathered
	batch := s.builder.NewRecordBatch()
	bad := s.bad
	s.gathered, s.rows, s.bad, s.values.size = nil, 0, nil, 0
	if len(bad) > 0 {
		whole := batch
		batch = without(whole, bad, s.lookuper.client.options.Allocator)
		whole.Release()
	}
	defer batch.Release()
	made, err := s.lookuper.newAsking(batch)
	if err != nil {
		s.lookuper.waiting -= a.rows
		a.err = err
		close(a.ended)
		return
	}
	a.keys = made.keys
	s.underWay++
	s.asked += a.rows
	s.lookuper.queueLocked(a)
}

// closeLocked fails the keys gathered and lets the set's memory go.
func (s *keySet) closeLocked() {
	if a := s.gathered; a != nil {
		s.gathered = nil
		s.lookuper.waiting -= a.rows
		a.err = errLookuperClosed
		close(a.ended)
	}
	s.builder.Release()
}
