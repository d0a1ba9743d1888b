package record

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// interesting are numbers at which arithmetic breaks.
var interesting = []int64{
	0, 1, -1, 2, 7, 8, 63, 64, 65, 127, 128, 255, 256, math.MaxInt16, math.MaxInt16 + 1, math.MaxInt32, math.MaxInt32 + 1,
	math.MinInt32, math.MinInt32 - 1, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64, math.MaxInt64 - 7, math.MinInt64, 1 << 40,
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// mutated is the message with one to three things changed.
func mutated(r *rand.Rand, m rawMessage) rawMessage {
	out := rawMessage{bytes.Clone(m.meta), bytes.Clone(m.body)}
	for range 1 + r.IntN(3) {
		switch r.IntN(10) {
		case 0:
			flipBit(r, out.meta)
		case 1:
			putNumber(r, out.meta)
		case 2, 3:
			flipBit(r, out.body)
		case 4, 5:
			putNumber(r, out.body)
		case 6:
			if n := len(out.body); n > 0 && r.IntN(4) == 0 {
				out.body = out.body[:r.IntN(n)]
			}
		case 7:
			if n := len(out.meta); r.IntN(4) == 0 {
				out.meta = out.meta[:r.IntN(n)]
			}
		default:
			out = bent(r, out)
		}
		if len(out.meta) == 0 {
			return out
		}
	}
	return out
}

func flipBit(r *rand.Rand, data []byte) {
	if len(data) > 0 {
		data[r.IntN(len(data))] ^= 1 << r.IntN(8)
	}
}

// putNumber writes a number that breaks things over 4 or 8 aligned bytes.
func putNumber(r *rand.Rand, data []byte) {
	v := uint64(pick(r, interesting))
	if r.IntN(3) == 0 {
		v = uint64(r.IntN(200))
	}
	if len(data) < 8 {
		return
	}
	at := r.IntN(len(data)/8) * 8
	if r.IntN(2) == 0 {
		binary.LittleEndian.PutUint32(data[at+4*r.IntN(2):], uint32(v))
		return
	}
	binary.LittleEndian.PutUint64(data[at:], v)
}

// bent is the message with a node or a buffer that says something else, in metadata that is otherwise sound.
func bent(r *rand.Rand, m rawMessage) rawMessage {
	msg, err := parseMessage(m.meta)
	if err != nil || msg.kind != messageBatch || len(msg.nodes) == 0 || len(msg.buffers) == 0 || len(msg.variadic) > 0 {
		return m
	}
	b := &Batch{rows: int(msg.rows), codec: msg.codec, bodyLen: int64(len(m.body))}
	for i := range len(msg.nodes) / 16 {
		b.nodes = append(b.nodes, msg.node(i))
	}
	for i := range len(msg.buffers) / 16 {
		b.buffers = append(b.buffers, msg.buffer(i))
	}
	some := func(v int64) int64 {
		switch r.IntN(4) {
		case 0:
			return pick(r, interesting)
		case 1:
			return v + int64(r.IntN(17)) - 8
		case 2:
			return int64(r.IntN(len(m.body) + 1))
		}
		return v
	}
	n, s := &b.nodes[r.IntN(len(b.nodes))], &b.buffers[r.IntN(len(b.buffers))]
	switch r.IntN(6) {
	case 0:
		n.length = some(n.length)
	case 1:
		n.nulls = some(n.nulls)
	case 2:
		s.off = some(s.off)
	case 3:
		s.len = some(s.len)
	case 4:
		b.rows = int(some(msg.rows))
	default:
		t := &b.buffers[r.IntN(len(b.buffers))]
		*s, *t = *t, *s
	}
	meta := make([]byte, batchMessageSize(len(b.nodes), len(b.buffers)))
	b.putBatchMessage(meta)
	return rawMessage{meta, m.body}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// mutants sends mutants of random batches through the gate and gives those that it takes to take. It never panics,
// and never allocates much more than the limits.
func mutants(t *testing.T, r *rand.Rand, l *Layout, rec arrow.RecordBatch, n int, take func(*Batch)) {
	t.Helper()
	limits := Limits{MaxBody: 1 << 20, MaxDecompressed: 1 << 20, MaxRatio: 1000}
	for _, c := range codecs {
		m := streamOf(t, rec.Schema(), []arrow.RecordBatch{rec}, c.options...)[1]
		for range n {
			mutant := mutated(r, m)
			var b *Batch
			var err error
			if got := allocated(func() { b, err = pass(l, mutant, limits, nil) }); got > 8<<20 {
				t.Fatalf("a mutant of %d+%d bytes made the gate allocate %d", len(mutant.meta), len(mutant.body), got)
			}
			if err != nil {
				switch quiver.ReasonOf(err) {
				case quiver.MalformedBatch, quiver.SchemaMismatch, quiver.BatchTooLarge:
				default:
					t.Fatalf("mutant: %v", err)
				}
				continue
			}
			checkShape(t, b)
			take(b)
			b.Release()
		}
	}
}

// pythonOf is the interpreter with pyarrow that tests may use.
func pythonOf(t *testing.T) string {
	t.Helper()
	python := os.Getenv("QUIVER_PYTHON")
	if python == "" {
		t.Skip("QUIVER_PYTHON names no interpreter with pyarrow; make test does")
	}
	return python
}

// pyarrowChecks runs the script of testdata over a directory of segments and returns what it prints.
func pyarrowChecks(t *testing.T, python, dir string) string {
	t.Helper()
	out, err := exec.Command(python, filepath.Join("testdata", "validate.py"), dir).CombinedOutput()
	if err != nil {
		kept, _ := os.MkdirTemp("", "quiver-mutants-")
		if os.CopyFS(kept, os.DirFS(dir)) == nil {
			t.Logf("segments kept in %s", kept)
		}
		t.Fatalf("pyarrow: %v\n%s", err, out)
	}
	return string(out)
}

// Whatever mutant of a batch the gate takes, pyarrow finds valid to the last value, and reads as we do.
func TestTakenIsValidInPyarrow(t *testing.T) {
	python := pythonOf(t)
	dir := t.TempDir()
	taken := 0
	seeded(t, 40, func(t *testing.T, r *rand.Rand) {
		table, l := randomTable(t, r, 3)
		rec := randomRecord(r, memory.DefaultAllocator, l.Schema(), 1+r.IntN(40))
		defer rec.Release()
		w := newSegment(t, table, SegmentIdentity{Bucket: testBucket, Salt: r.Uint64()})
		mutants(t, r, l, rec, 150, func(b *Batch) {
			taken++
			w.add(b, Stamp{Epoch: 1})
		})
		name := strconv.FormatUint(r.Uint64(), 16) + ".arrows"
		if err := os.WriteFile(filepath.Join(dir, name), w.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	out := pyarrowChecks(t, python, dir)
	if !strings.Contains(out, strconv.Itoa(taken)+" batches valid") {
		t.Fatalf("%d mutants taken, pyarrow says: %s", taken, out)
	}
	t.Logf("%d mutants taken", taken)
}

// pyarrow reads the golden segments, headers included, and polars reads what it has types for.
func TestGoldenSegmentsInPyarrow(t *testing.T) {
	out := pyarrowChecks(t, pythonOf(t), "testdata")
	if !strings.Contains(out, "7 batches valid, 734 rows") || !strings.Contains(out, "polars: 300 rows equal") {
		t.Fatal(out)
	}
}

// The same for what is taken of client layouts, and stored plain.
func TestTakenOfClientsIsValidInPyarrow(t *testing.T) {
	python := pythonOf(t)
	dir := t.TempDir()
	taken := 0
	seeded(t, 60, func(t *testing.T, r *rand.Rand) {
		rec := clientRecord(r)
		defer rec.Release()
		table, l := mustTable(t, rec.Schema())
		msgs := streamOf(t, rec.Schema(), []arrow.RecordBatch{rec}, pick(r, codecs).options...)
		w := newSegment(t, table, SegmentIdentity{Bucket: testBucket, Salt: r.Uint64()})
		for range 100 {
			b, err := throughInput(r, rec.Schema(), table, l, msgs)
			if err != nil {
				switch quiver.ReasonOf(err) {
				case quiver.MalformedBatch, quiver.SchemaMismatch, quiver.BatchTooLarge:
				default:
					t.Fatalf("mutant: %v", err)
				}
				continue
			}
			checkShape(t, b)
			taken++
			w.add(b, Stamp{Epoch: 1})
			b.Release()
		}
		name := strconv.FormatUint(r.Uint64(), 16) + ".arrows"
		if err := os.WriteFile(filepath.Join(dir, name), w.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	out := pyarrowChecks(t, python, dir)
	if !strings.Contains(out, strconv.Itoa(taken)+" batches valid") {
		t.Fatalf("%d mutants taken, pyarrow says: %s", taken, out)
	}
	t.Logf("%d mutants taken", taken)
}

// throughInput puts the messages of a stream, one of them mutated, through the gate of a put.
func throughInput(r *rand.Rand, s *arrow.Schema, table *quiver.Schema, l *Layout, msgs []rawMessage) (*Batch, error) {
	in, err := NewInput(s, nil, table, l, fuzzLimits)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	msgs = append([]rawMessage(nil), msgs[1:]...)
	at := r.IntN(len(msgs))
	msgs[at] = mutated(r, msgs[at])
	for _, m := range msgs[:len(msgs)-1] {
		body := staged(m.body)
		err := in.Dictionary(m.meta, body)
		body.Release()
		if err != nil {
			return nil, err
		}
	}
	last := msgs[len(msgs)-1]
	body := staged(last.body)
	defer body.Release()
	return in.Batch(last.meta, body)
}
