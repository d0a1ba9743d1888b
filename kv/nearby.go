package kv

import (
	"runtime"

	"github.com/cockroachdb/pebble/v2"
)

// What is found without a search in Pebble: rows that are held (held.go), and that there is none, by a filter of keys
// (known.go). Both change with Pebble, and not in one step with it. Who applies
//
//	applies odd ─► keys into the filter ─► Pebble ─► rows held, or held no more ─► applies even ─► staged no more
//
// so while applies is even and stays the same, what is held is what Pebble has.
//
//   - Prepare asks for keys that are not staged, under the lock of the bucket's owner: nobody changes these meanwhile. A key
//     that is staged no more was applied, with all of the steps above.
//   - A lookup sees the bucket at one moment, or it goes to Pebble for all its keys. Else one that read Pebble during an
//     apply would show a row, and a later one that read what is held the row before.
//   - What a lookup found in Pebble is held only if nothing was applied since before it took its view.

// knowKeys begins a filter of the keys of a tablet that has no row.
func (t *Tablet) knowKeys() error {
	e := t.store.engine
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: t.rows, UpperBound: after(t.rows)})
	if err != nil {
		return t.store.readError(err)
	}
	some := it.First()
	if err := firstError(it.Error(), it.Close()); err != nil {
		return t.store.readError(err)
	}
	if some || t.store.readOnly {
		return nil
	}
	k := newKnown(&e.knownBytes, e.knownMost)
	t.known.Store(k)
	runtime.AddCleanup(t, (*known).close, k)
	return nil
}

// learn adds keys to the filter before their rows can be found.
func (t *Tablet) learn(run []*Change) {
	k := t.known.Load()
	if k == nil {
		return
	}
	for _, c := range run {
		for i := range c.mutations {
			if m := &c.mutations[i]; m.row != nil && !k.add(m.key[rowPrefix:]) {
				t.known.Store(nil)
				k.close()
				return
			}
		}
	}
}

// hold keeps what changes left of their keys; with done false it keeps nothing of these any more.
func (t *Tablet) hold(run []*Change, done bool) {
	for _, c := range run {
		for i := range c.mutations {
			m := &c.mutations[i]
			r := m.row
			if !done {
				r = nil
			}
			t.store.engine.held.put(t.number, m.key[rowPrefix:], r, nil)
		}
	}
}

// near looks for a key, without the bucket's prefix, where it costs little. sure says whether what it gives is the answer;
// nil: there is no row. It lies in scratch, which is not too small afterwards.
func (t *Tablet) near(key []byte, scratch *[]byte) (r row, sure bool) {
	if k := t.known.Load(); k != nil && !k.has(key) {
		return nil, true
	}
	if r = t.store.engine.held.get(t.number, key, *scratch); r != nil {
		*scratch = r
	}
	return r, r != nil
}

// calm gives the number of applies where none is under way.
func (t *Tablet) calm() (at uint64, ok bool) {
	at = t.applies.Load()
	return at, at%2 == 0
}
