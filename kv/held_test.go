package kv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestHeldRows compares held rows with a map, with keys of several tablets and rows of many sizes: what is found is what was
// put last, and nothing is found that was put away. Rows that fit are all found; of more than fit, the newest.
func TestHeldRows(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for n := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, n))
		h := newHeld(heldShards * 32 << 10)
		want := map[string]row{}
		key := func() (uint64, []byte) {
			return 1 + r.Uint64N(2), binary.BigEndian.AppendUint64(nil, r.Uint64N(1<<(4+2*n)))
		}
		for range 20_000 {
			tablet, k := key()
			name := fmt.Sprintf("%d %x", tablet, k)
			switch r.IntN(8) {
			case 0:
				h.put(tablet, k, nil, nil)
				delete(want, name)
			case 1, 2, 3:
				v := bytes.Repeat([]byte{byte(r.Uint32())}, rowHeader+r.IntN(200))
				if r.IntN(500) == 0 {
					v = make([]byte, 16<<10) // more than is kept
				}
				no := r.IntN(5) == 0
				h.put(tablet, k, v, func() bool { return !no })
				if !no {
					want[name] = v
				}
			default:
				if got := h.get(tablet, k, nil); got != nil && !bytes.Equal(got, want[name]) {
					t.Fatalf("key %x of %d is %x, want %x", k, tablet, got, want[name])
				}
			}
		}
	}
}

// TestHeldRowsStay checks that as many rows as there is room for are found again, with what a ring is larger than its rows
// taken off.
func TestHeldRowsStay(t *testing.T) {
	const rows, size = 40_000, 100
	h := newHeld(rows * (size + 64))
	put := func(i int) {
		h.put(1, binary.BigEndian.AppendUint64(nil, uint64(i)), bytes.Repeat([]byte{byte(i)}, size), nil)
	}
	found := func(from, until int) (n int) {
		for i := from; i < until; i++ {
			if r := h.get(1, binary.BigEndian.AppendUint64(nil, uint64(i)), nil); r != nil {
				if r[0] != byte(i) {
					t.Fatalf("row %d is another one", i)
				}
				n++
			}
		}
		return n
	}
	ring := func() (n int) {
		for i := range h.shards {
			n += len(h.shards[i].ring) + 8*len(h.shards[i].index)
		}
		return n
	}
	for i := range 100 {
		put(i)
	}
	if n := found(0, 100); n != 100 {
		t.Errorf("of 100 rows %d are held", n)
	}
	if n := ring(); n > 2*heldShards*firstRing {
		t.Errorf("100 rows take %d bytes", n)
	}
	for i := range 4 * rows {
		put(i)
	}
	if n := found(4*rows-rows/4, 4*rows); n < rows/4*9/10 {
		t.Errorf("of the newest %d rows %d are held", rows/4, n)
	}
	if n := ring(); n > rows*(size+64) {
		t.Errorf("%d bytes are taken, more than were allowed", n)
	}
	if n := found(0, rows); n != 0 {
		t.Errorf("of the oldest rows %d are held", n)
	}
}
