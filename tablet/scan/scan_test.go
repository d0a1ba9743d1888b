package scan

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
)

func TestMain(m *testing.M) {
	buf.SetPoison(true)
	goleak.VerifyTestMain(m)
}

// checkMemory fails the test if it ends with more buffers than it began with.
func checkMemory(t *testing.T) {
	t.Helper()
	before := buf.Live()
	t.Cleanup(func() {
		if live := buf.Live(); live != before {
			t.Errorf("%d buffers are still held", live-before)
		}
	})
}

// checkReaders fails the test if a reader or a subscription is left behind.
func checkReaders(t *testing.T, buckets ...*bucket) {
	t.Helper()
	for _, b := range buckets {
		b.mu.Lock()
		if b.open != 0 || len(b.readers) != 0 {
			t.Errorf("bucket %d: %d readers and %d subscriptions are left", b.number, b.open, len(b.readers))
		}
		b.mu.Unlock()
	}
}

// seeded is a random source whose seed is printed; QUIVER_SEED sets it.
func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("QUIVER_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed: QUIVER_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func sources(buckets []*bucket) []Source {
	out := make([]Source, len(buckets))
	for i, b := range buckets {
		out[i] = b
	}
	return out
}

// randomRows are rows as they go into one batch: one timestamp.
func randomRows(rng *rand.Rand, n int, timestamp int64) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{timestamp: timestamp, id: rng.Int64(), flag: rng.IntN(2) == 0}
		switch rng.IntN(10) {
		case 0:
		case 1:
			rows[i].name = strings.Repeat("x", rng.IntN(200)+1)
		default:
			rows[i].name = fmt.Sprint("name", rng.IntN(100))
		}
		for range rng.IntN(4) {
			rows[i].tags = append(rows[i].tags, rng.Int32())
		}
	}
	return rows
}

// randomBatch is mostly small, and sometimes large.
func randomBatch(rng *rand.Rand, timestamp int64) []row {
	n := 1
	switch rng.IntN(8) {
	case 0:
		n = 1 + rng.IntN(3000)
	case 1, 2:
		n = 1 + rng.IntN(200)
	case 3:
		n = 1 + rng.IntN(5)
	}
	return randomRows(rng, n, timestamp)
}

// mixed is how often stored batches are compressed. Under synctest it is plain: the encoders of Zstandard wait for one
// another in channels from outside.
var (
	mixed = []record.Compression{record.None, record.None, record.None, record.LZ4, record.Zstd}
	plain = []record.Compression{record.None, record.None, record.LZ4}
)

// fillRandom puts random batches.
func fillRandom(rng *rand.Rand, b *bucket, batches int, codecs []record.Compression) {
	timestamp := int64(1000)
	for range batches {
		if rng.IntN(3) == 0 {
			timestamp += int64(rng.IntN(20))
		}
		b.codec = codecs[rng.IntN(len(codecs))]
		b.put(randomBatch(rng, timestamp)...)
	}
}

// randomColumns are some user and system columns in some order.
func randomColumns(t *testing.T, rng *rand.Rand, table *quiver.Table) ([]Column, []string) {
	names := append(table.Schema.Names(), systemNames()...)
	rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:rng.IntN(len(names)+1)]
	if rng.IntN(4) == 0 {
		names = table.Schema.Names()
	}
	columns, err := Select(table.Schema, names, nil)
	if err != nil {
		t.Fatal(err)
	}
	return columns, names
}

// check compares a chunk with the model and gives it back.
func check(t *testing.T, s *Scanner, names []string, b *bucket, c Chunk) {
	t.Helper()
	defer c.Batch.Release()
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.Bucket != b.number || c.Rows() != int64(c.Batch.Rows()) || c.Until > c.HighWatermark || c.HighWatermark > b.high {
		t.Fatalf("chunk %+v with %d rows, high watermark %d", c, c.Batch.Rows(), b.high)
	}
	if !c.Idle && c.Timestamp != b.rows[c.Until-1].timestamp {
		t.Fatalf("chunk %+v: its last row is of %d", c, b.rows[c.Until-1].timestamp)
	}
	for i, got := range cells(t, s.Schema(), c.Batch) {
		offset := c.From + quiver.Offset(i)
		want := make([]string, 0, len(names))
		for _, name := range names {
			want = append(want, b.rows[offset].cell(name, b.number, offset))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("row %d of bucket %d: %q, want %q", offset, b.number, got, want)
		}
	}
}

// TestRandomBoundedScans compares scans of random logs with the model: every row of the ranges, each once, in order,
// in chunks as large as they may be.
func TestRandomBoundedScans(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	for range 15 {
		table := testTable(t, int32(1+rng.IntN(3)))
		var buckets []*bucket
		for i := range table.Buckets {
			b := newBucket(t, table, i)
			fillRandom(rng, b, rng.IntN(60), mixed)
			if end := b.end(); end > 0 {
				b.start = quiver.Offset(rng.Int64N(int64(end)))
				b.high = b.start + quiver.Offset(rng.Int64N(int64(end-b.start)+1))
			}
			buckets = append(buckets, b)
		}
		for range 6 {
			boundedScan(t, rng, table, buckets)
		}
		checkReaders(t, buckets...)
	}
}

func boundedScan(t *testing.T, rng *rand.Rand, table *quiver.Table, buckets []*bucket) {
	ctx := t.Context()
	from, until := randomPosition(rng, buckets), randomPosition(rng, buckets)
	ranges, err := Resolve(ctx, table, sources(buckets), from, until, false)
	if err != nil {
		t.Fatal(err)
	}
	columns, names := randomColumns(t, rng, table)
	spec := Spec{Table: table, Sources: sources(buckets), Ranges: ranges, Columns: columns}
	if rng.IntN(2) == 0 {
		spec.BatchRows = 1 + rng.IntN(500)
	}
	if rng.IntN(2) == 0 {
		spec.MaxBytes = 1 + rng.IntN(100_000)
	}
	left := int64(1 << 60)
	if rng.IntN(3) == 0 {
		left = rng.Int64N(3000)
		spec.Limit = new(left)
	}
	s, err := Open(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, b := range buckets {
		r := ranges[i]
		for r.From < r.Until && left > 0 {
			c, err := s.Next(ctx)
			if err != nil {
				t.Fatalf("at %+v: %v", r, err)
			}
			if c.From != r.From || c.Until > r.Until || c.Rows() > left || c.Rows() == 0 {
				t.Fatalf("chunk %+v of %+v, %d left of the limit", c, r, left)
			}
			if spec.BatchRows > 0 && c.Batch.Rows() > spec.BatchRows {
				t.Fatalf("%d rows, at most %d are wanted", c.Batch.Rows(), spec.BatchRows)
			}
			if spec.MaxBytes > 0 && c.Batch.Rows() > 1 && int(c.Batch.BodySize()) > spec.MaxBytes+64*2*20 {
				t.Fatalf("%d bytes of %d rows, about %d are wanted", c.Batch.BodySize(), c.Batch.Rows(), spec.MaxBytes)
			}
			r.From, left = c.Until, left-c.Rows()
			check(t, s, names, b, c)
		}
	}
	if _, err := s.Next(ctx); !errors.Is(err, io.EOF) {
		t.Fatalf("behind the end: %v", err)
	}
}

// randomPosition is one that all buckets have.
func randomPosition(rng *rand.Rand, buckets []*bucket) Position {
	switch rng.IntN(6) {
	case 0:
		return Position{}
	case 1:
		return Position{Place: Earliest}
	case 2:
		return Position{Place: Latest}
	case 3:
		return Position{Place: AtTimestamp, Timestamp: 900 + int64(rng.IntN(500))}
	default:
		p := Position{Place: AtOffsets, Offsets: map[int32]quiver.Offset{}}
		for _, b := range buckets {
			if rng.IntN(5) > 0 {
				p.Offsets[b.number] = b.start + quiver.Offset(rng.Int64N(int64(b.high-b.start)+1))
			}
		}
		return p
	}
}

// TestMergesSmallBatches checks that one-row batches come as few large ones, and exact timestamps with them.
func TestMergesSmallBatches(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	table := testTable(t, 1)
	b := newBucket(t, table, 0)
	for i := range 1000 {
		b.put(randomRows(rng, 1, int64(i))...)
	}
	columns, err := Select(table.Schema, nil, []string{"__timestamp"})
	if err != nil {
		t.Fatal(err)
	}
	names := append(table.Schema.Names(), "__timestamp")
	for _, test := range []struct{ batchRows, chunks int }{{0, 1}, {300, 4}, {1, 1000}} {
		s := scanAll(t, table, columns, Spec{BatchRows: test.batchRows}, b)
		chunks := 0
		for {
			c, err := s.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			check(t, s, names, b, c)
			chunks++
		}
		s.Close()
		if chunks != test.chunks {
			t.Errorf("batch_rows %d: %d chunks, want %d", test.batchRows, chunks, test.chunks)
		}
	}
}

// scanAll reads whole buckets.
func scanAll(t *testing.T, table *quiver.Table, columns []Column, spec Spec, buckets ...*bucket) *Scanner {
	t.Helper()
	ranges, err := Resolve(t.Context(), table, sources(buckets), Position{}, Position{}, spec.Follow)
	if err != nil {
		t.Fatal(err)
	}
	spec.Table, spec.Sources, spec.Ranges, spec.Columns = table, sources(buckets), ranges, columns
	s, err := Open(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// counted is room that says what was asked of it, until there is none left.
type counted struct {
	asked []int
	left  int // times that there is some
	taken int
}

func (c *counted) Take(bytes int) error {
	if c.left == 0 {
		return errors.New("no room")
	}
	c.left--
	c.asked, c.taken = append(c.asked, bytes), c.taken+bytes
	return nil
}

func (c *counted) Leave() { c.taken = 0 }

// TestRoomIsAskedForFirst reads with room for two chunks: what is asked for follows what was seen, the third chunk is
// not read, and nothing is kept in the end.
func TestRoomIsAskedForFirst(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	table := testTable(t, 1)
	b := newBucket(t, table, 0)
	for range 5 {
		b.put(randomRows(rng, 10_000, 1)...)
	}
	columns, _ := Select(table.Schema, nil, nil)
	room := &counted{left: 2}
	s := scanAll(t, table, columns, Spec{BatchRows: 10_000}, b)
	defer s.Close()
	s.options.Room = room
	var size int
	for range 2 {
		c, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		size = c.Batch.Size()
		c.Batch.Release()
		room.taken = 0 // the reader has it
	}
	if _, err := s.Next(t.Context()); err == nil || err.Error() != "no room" {
		t.Errorf("without room: %v", err)
	}
	if room.asked[0] != DefaultMaxBytes || room.asked[1] < size || room.asked[1] > 4*size {
		t.Errorf("%v bytes were asked for, chunks have %d", room.asked, size)
	}
	if room.taken != 0 {
		t.Errorf("%d bytes are kept", room.taken)
	}
}

// TestRoomForFewRows asks for little where few rows are left, also if they are many buckets'.
func TestRoomForFewRows(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	table := testTable(t, 3)
	var buckets []*bucket
	for n := range int32(3) {
		b := newBucket(t, table, n)
		b.put(randomRows(rng, 100, 1)...)
		buckets = append(buckets, b)
	}
	columns, _ := Select(table.Schema, nil, nil)
	s := scanAll(t, table, columns, Spec{}, buckets...)
	defer s.Close()
	room := &counted{left: 1}
	s.options.Room = room
	c, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Batch.Release()
	if room.asked[0] != 300*expectedRow {
		t.Errorf("%d bytes were asked for", room.asked[0])
	}
}

// TestLargeBatchGoesAsItLies checks that a batch that needs nothing done is neither copied nor joined, and one row
// that is too large goes alone.
func TestLargeBatchGoesAsItLies(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	table := testTable(t, 1)
	b := newBucket(t, table, 0)
	large := randomRows(rng, 100_000, 1)
	b.put(randomRows(rng, 3, 1)...)
	b.put(large...)
	b.put(randomRows(rng, 3, 1)...)
	b.put(randomRows(rng, 3, 1)...)
	huge := randomRows(rng, 1, 1)
	huge[0].name = strings.Repeat("y", 4<<20)
	b.put(huge...)
	columns, _ := Select(table.Schema, nil, nil)
	s := scanAll(t, table, columns, Spec{MaxBytes: 64 << 20}, b)
	defer s.Close()
	if got := rowCounts(t, s); !slices.Equal(got, []int{3, 100_000, 6, 1}) {
		t.Errorf("chunks of %v rows", got)
	}
	s = scanAll(t, table, columns, Spec{BatchRows: 60_000, MaxBytes: 64 << 20}, b)
	defer s.Close()
	if got := rowCounts(t, s); !slices.Equal(got, []int{3, 60_000, 40_000, 6, 1}) {
		t.Errorf("chunks of %v rows", got)
	}
}

func rowCounts(t *testing.T, s *Scanner) (rows []int) {
	for {
		c, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, c.Batch.Rows())
		c.Batch.Release()
	}
}

// TestErrors checks what ends a scan, and that it ends for good.
func TestErrors(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	table := testTable(t, 1)
	columns, _ := Select(table.Schema, []string{"id"}, nil)
	gone := quiver.Errorf(quiver.TableNotFound, "the table was dropped")
	lost := quiver.Errorf(quiver.LeaderNotAvailable, "the log failed")
	corrupt := quiver.Errorf(quiver.CorruptRange, "rows [5, 9)")
	for _, test := range []struct {
		name   string
		break_ func(b *bucket)
		rows   int // given before the error
		want   quiver.Reason
	}{
		{"dropped", func(b *bucket) { b.gone = gone }, 0, quiver.TableNotFound},
		{"retention passed", func(b *bucket) { b.start = 12 }, 0, quiver.OffsetOutOfRange},
		{"high watermark went back", func(b *bucket) { b.high = 7 }, 7, quiver.OffsetTruncated},
		{"damage", func(b *bucket) { b.breaks = corrupt }, 5, quiver.CorruptRange},
		{"log reopened", func(b *bucket) { b.breaks = lost }, 20, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBucket(t, table, 0)
			for range 4 {
				b.put(randomRows(rng, 5, 1)...)
			}
			s := scanAll(t, table, columns, Spec{}, b)
			defer s.Close()
			b.change(func() { test.break_(b) })
			rows := 0
			for {
				c, err := s.Next(t.Context())
				if err != nil {
					if got := quiver.ReasonOf(err); got != test.want || rows != test.rows {
						t.Errorf("%v after %d rows, want %q after %d", err, rows, test.want, test.rows)
					}
					if _, again := s.Next(t.Context()); again != err { //nolint:errorlint // the very same
						t.Errorf("then %v", again)
					}
					return
				}
				rows += int(c.Rows())
				check(t, s, []string{"id"}, b, c)
			}
		})
	}
}
