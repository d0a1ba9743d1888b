package kv

import (
	"bytes"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// partKeys is how many keys are worth a goroutine of their own: it takes a few microseconds to begin, as finding some
// keys does.
const partKeys = 256

// search has keys of the bucket looked for, of which there are n, in ascending order: those at [from, until) by each
// call, with an iterator of its own. Many keys are looked for by several calls at the same time. All of them see the
// bucket at one moment. What a call gives as an error that is the store's has gone through readError. With still, which may
// be nil, nobody is called where it says no once that moment has come; then it is errMoved.
func (t *Tablet) search(n int, still func() bool, part func(it *pebble.Iterator, from, until int) error) error {
	e := t.store.engine
	if n == 0 {
		if still != nil && !still() {
			return errMoved
		}
		return t.store.Failed()
	}
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: t.rows, UpperBound: after(t.rows)})
	if err != nil {
		return t.store.readError(err)
	}
	if still != nil && !still() {
		return firstError(t.store.readError(it.Close()), errMoved)
	}
	parts := max(1, min(e.parts, n/e.part))
	iters := make([]*pebble.Iterator, parts)
	for i := range iters {
		iters[i] = it
		if i == 0 {
			continue
		}
		if iters[i], err = it.Clone(pebble.CloneOptions{}); err != nil {
			return errors.Join(t.store.readError(err), closeAll(iters[:i]))
		}
	}
	errs := make([]error, parts)
	eachPart(parts, func(i int) { errs[i] = part(iters[i], n*i/parts, n*(i+1)/parts) })
	if e.recent.searched(n) {
		if _, err := e.db.AsyncFlush(); err != nil {
			e.fail(err)
		}
	}
	for i, it := range iters {
		if err := firstError(it.Error(), it.Close()); err != nil && errs[i] == nil {
			errs[i] = t.store.readError(err)
		}
	}
	if err := firstError(errs...); err != nil {
		return err
	}
	return t.store.Failed()
}

// errMoved means that something was applied before a search took its view of the bucket.
var errMoved = errors.New("kv: something was applied meanwhile")

// eachPart calls do for each part, all at the same time, and returns when they have. The panic of one is the caller's.
func eachPart(parts int, do func(i int)) {
	panics := make([]any, parts)
	guarded := func(i int) {
		defer func() { panics[i] = recover() }()
		do(i)
	}
	var others sync.WaitGroup
	for i := 1; i < parts; i++ {
		others.Go(func() { guarded(i) })
	}
	guarded(0)
	others.Wait()
	for _, what := range panics {
		if what != nil {
			panic(what)
		}
	}
}

func closeAll(iters []*pebble.Iterator) error {
	errs := make([]error, 0, len(iters))
	for _, it := range iters {
		errs = append(errs, it.Close())
	}
	return errors.Join(errs...)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// get finds one key; nil: it is not there. The row lies in the iterator's memory, until the next one is looked for. Keys
// come in ascending order, so that the iterator need not begin anew for each.
func get(it *pebble.Iterator, key []byte) (row, error) {
	if !it.SeekPrefixGE(key) || !bytes.Equal(it.Key(), key) {
		return nil, it.Error()
	}
	stored, err := it.ValueAndErr()
	if stored == nil {
		stored = []byte{} // there, and damaged
	}
	return stored, err
}
