package arrowlog

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// randomFold is the fold of random batches.
func randomFold(r *rand.Rand) *fold {
	f := newFold(quiver.Offset(r.Int64N(1000)), 1000)
	sequences := map[quiver.WriterID]quiver.Sequence{}
	for range r.IntN(200) {
		h := &record.Header{BaseOffset: f.next, Epoch: f.epochs.last() + quiver.Epoch(r.IntN(20)/19), Timestamp: f.time + r.Int64N(100), CRC: r.Uint32()}
		if r.IntN(10) == 0 {
			h.Flags = record.Continued
		}
		var ps []record.Producer
		for range 1 + r.IntN(3) {
			p := record.Producer{Writer: quiver.WriterID(r.Uint64() >> r.IntN(60)), Epoch: quiver.Epoch(r.IntN(3)), Rows: 1 + r.Int64N(5)}
			if r.IntN(2) == 0 {
				p.Writer = quiver.WriterID(r.IntN(3))
			}
			sequences[p.Writer] += 1 + quiver.Sequence(r.IntN(3))
			p.Sequence = sequences[p.Writer]
			h.Rows += int(p.Rows)
			ps = append(ps, p)
		}
		f.apply(h, ps)
	}
	f.skip(f.next) // state files are written at the ends of units
	f.writers.sweep(f.time, f.expiry)
	f.writers.purge = 0
	return f
}

// TestStateRoundTrip shows that a state file holds all of a fold, and nothing of another bucket or offset.
func TestStateRoundTrip(t *testing.T) {
	seeded(t, 50, func(t *testing.T, r *rand.Rand) {
		f := randomFold(r)
		data := f.encode(bucket, []byte("message"))
		got, message, err := decodeState(data, bucket, f.next, f.expiry)
		if err != nil || string(message) != "message" {
			t.Fatal(err)
		}
		got.writers.purge, f.writers.purge = 0, 0
		if !reflect.DeepEqual(got, f) {
			t.Fatalf("%+v, not %+v", got, f)
		}
		if _, _, err := decodeState(data, quiver.BucketID{Table: 1}, f.next, 0); !errors.Is(err, errFrame) {
			t.Fatal("another bucket's state was taken")
		}
		if _, _, err := decodeState(data, bucket, f.next+1, 0); !errors.Is(err, errFrame) {
			t.Fatal("another offset's state was taken")
		}
	})
}

// TestCheckpointRoundTrip shows that a checkpoint survives damage to one of its halves.
func TestCheckpointRoundTrip(t *testing.T) {
	seeded(t, 50, func(t *testing.T, r *rand.Rand) {
		m := newMarks()
		for range r.IntN(50) {
			id := quiver.BucketID{Table: quiver.TableID(r.IntN(5)), Partition: quiver.PartitionID(r.Uint64()), Bucket: r.Int32()}
			high := quiver.Offset(r.Int64() >> 10)
			m.set(id, mark{start: high / 2, high: high, recovery: max(0, high+quiver.Offset(r.IntN(10)-5))})
		}
		data := m.encode()
		for range 20 {
			damaged := append([]byte(nil), data...)
			damaged[r.IntN(len(data))] ^= 1 << r.IntN(8)
			for _, d := range [][]byte{data, damaged} {
				got, err := decodeMarks(d)
				if err != nil || !reflect.DeepEqual(got.byID, m.byID) {
					t.Fatalf("%v: %v, not %v", err, got.byID, m.byID)
				}
			}
		}
	})
}

// FuzzFrames feeds bytes to everything that reads a small file, as they are and under a right checksum: nothing
// panics, and what is taken makes sense.
func FuzzFrames(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	state := randomFold(r)
	f.Add(state.encode(bucket, []byte("message"))[frameHead:])
	m := newMarks()
	m.set(bucket, mark{1, 2, 3})
	f.Add(m.encode()[frameHead:])
	f.Add(encodeIndex(bucket, 5, 1000, []entry{{pos: 64, base: 5, time: 9, body: 64, meta: 128, rows: 3}})[frameHead:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, kind := range []string{stateKind, checkpointKind, indexKind} {
			data := sealFrame(kind, payload)
			_, _, _ = decodeState(data, bucket, 5, 0)
			_, _ = decodeMarks(data)
			x, err := decodeIndex(data, bucket, 5, 1<<40)
			if err != nil {
				continue
			}
			before := entry{base: 5}
			for _, e := range x.entries {
				if e.pos < before.end() || e.base < before.until() || e.rows < 0 || e.body < 0 || e.end() > x.covered {
					t.Fatalf("%+v behind %+v", e, before)
				}
				before = e
			}
		}
		_, _, _ = decodeState(payload, bucket, 5, 0)
		_, _ = decodeMarks(payload)
		_, _ = indexSize(payload)
	})
}
