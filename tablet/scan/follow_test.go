package scan

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiverlog/quiver"
)

// TestFollowRandom has producers and a following scan run against each other: every row comes once, in the order of
// its bucket, and none before it is shown.
func TestFollowRandom(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	for range 20 {
		seed := rng.Uint64()
		synctest.Test(t, func(t *testing.T) { followRandom(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func followRandom(t *testing.T, rng *rand.Rand) {
	table := testTable(t, int32(1+rng.IntN(4)))
	var buckets []*bucket
	for i := range table.Buckets {
		b := newBucket(t, table, i)
		fillRandom(rng, b, rng.IntN(10), plain)
		buckets = append(buckets, b)
	}
	columns, names := randomColumns(t, rng, table)
	s := scanAll(t, table, columns, Spec{Follow: true, BatchRows: rng.IntN(300), MaxBytes: rng.IntN(100_000)}, buckets...)
	defer checkReaders(t, buckets...)
	defer s.Close()

	total := int64(0)
	puts := make([]int, len(buckets)) // batches still to be put, by bucket
	for i := range puts {
		puts[i] = rng.IntN(30)
	}
	produced := make(chan int64)
	producer := rand.New(rand.NewPCG(rng.Uint64(), 2))
	for _, b := range buckets {
		total += int64(b.end())
	}
	go func() {
		rows := int64(0)
		for slices.ContainsFunc(puts, func(n int) bool { return n > 0 }) {
			i := producer.IntN(len(puts))
			if puts[i] == 0 {
				continue
			}
			puts[i]--
			batch := randomBatch(producer, 5000)
			rows += int64(len(batch))
			buckets[i].stage(batch...)
			if producer.IntN(3) > 0 || puts[i] == 0 {
				buckets[i].show(buckets[i].end())
			}
			time.Sleep(time.Duration(producer.IntN(2000)) * time.Millisecond)
		}
		produced <- rows
	}()

	next := make([]quiver.Offset, len(buckets))
	seen, idle := int64(0), false
	for done := false; !done || seen < total; {
		c, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.From != next[c.Bucket] {
			t.Fatalf("chunk %+v, row %d is next", c, next[c.Bucket])
		}
		if open := openReaders(buckets); open > 1 {
			t.Fatalf("%d readers are open", open)
		}
		next[c.Bucket] = c.Until
		seen += c.Rows()
		idle = idle || c.Idle
		check(t, s, names, buckets[c.Bucket], c)
		select {
		case rows := <-produced:
			total, done = total+rows, true
		default:
		}
	}
	if seen != total {
		t.Fatalf("%d rows, there are %d", seen, total)
	}
}

func openReaders(buckets []*bucket) (n int) {
	for _, b := range buckets {
		b.mu.Lock()
		n += b.open
		b.mu.Unlock()
	}
	return n
}

// TestIdle checks when a silent scan shows that it lives: within a second, then every five, for the buckets in turn.
func TestIdle(t *testing.T) {
	checkMemory(t)
	synctest.Test(t, func(t *testing.T) {
		rng := seeded(t)
		table := testTable(t, 2)
		a, b := newBucket(t, table, 0), newBucket(t, table, 1)
		a.put(randomRows(rng, 5, 77)...)
		columns, _ := Select(table.Schema, nil, []string{"__offset"})
		s := scanAll(t, table, columns, Spec{Follow: true}, a, b)
		defer s.Close()
		began := time.Now()
		expect := func(bucket int32, from, until quiver.Offset, timestamp int64, after time.Duration) {
			t.Helper()
			c, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Batch.Release()
			if c.Bucket != bucket || c.From != from || c.Until != until || c.Timestamp != timestamp || c.Idle != (from == until) {
				t.Errorf("chunk %+v", c)
			}
			if c.Batch.Rows() != int(until-from) || len(cells(t, s.Schema(), c.Batch)) != c.Batch.Rows() {
				t.Errorf("%d rows", c.Batch.Rows())
			}
			if got := time.Since(began); got != after {
				t.Errorf("after %v, want %v", got, after)
			}
		}
		expect(0, 0, 5, 77, 0)
		expect(0, 5, 5, 77, firstSilence)
		expect(1, 0, 0, 0, 5900*time.Millisecond)
		expect(0, 5, 5, 77, 10900*time.Millisecond)
		time.AfterFunc(2*time.Second, func() { b.put(randomRows(rng, 3, 78)...) })
		expect(1, 0, 3, 78, 12900*time.Millisecond)
		expect(0, 5, 5, 77, 13800*time.Millisecond)
		// News without rows for this reader (a moved start) neither count as rows nor start the silence anew.
		time.AfterFunc(3*time.Second, func() { b.change(func() { b.start = 3 }) })
		expect(1, 3, 3, 78, 18800*time.Millisecond)
	})
}

// TestFollowEnds checks every end of a following scan but its context.
func TestFollowEnds(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	table := testTable(t, 1)
	columns, _ := Select(table.Schema, []string{"id"}, nil)
	for _, test := range []struct {
		name  string
		until Position
		limit *int64
		rows  int64
	}{
		{"until an offset to come", Position{Place: AtOffset, Offset: 13}, nil, 13},
		{"until an offset there is", Position{Place: AtOffset, Offset: 3}, nil, 3},
		{"until now", Position{Place: Latest}, nil, 5},
		{"until a time to come", Position{Place: AtTimestamp, Timestamp: 101}, nil, 15},
		{"until a time there is", Position{Place: AtTimestamp, Timestamp: 100}, nil, 0},
		{"until a time that passes", Position{Place: AtTimestamp, Timestamp: 400}, nil, 25},
		{"limit", Position{}, new(int64(17)), 17},
		{"limit 0", Position{}, new(int64(0)), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				clock := func() time.Time { return time.UnixMilli(100 + time.Since(began).Milliseconds()/10) }
				b := newBucket(t, table, 0)
				b.put(randomRows(rng, 5, 100)...)
				ranges, err := Resolve(t.Context(), table, []Source{b}, Position{}, test.until, true)
				if err != nil {
					t.Fatal(err)
				}
				s, err := Open(Spec{Table: table, Sources: []Source{b}, Ranges: ranges, Columns: columns, Follow: true, Limit: test.limit}, Options{Now: clock})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				now, later := randomRows(rng, 10, 100), randomRows(rng, 10, 102)
				time.AfterFunc(time.Millisecond, func() { b.put(now...) })
				time.AfterFunc(2*time.Millisecond, func() { b.put(later...) })
				rows := int64(0)
				for {
					c, err := s.Next(t.Context())
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					rows += c.Rows()
					check(t, s, []string{"id"}, b, c)
				}
				if rows != test.rows {
					t.Errorf("%d rows, want %d", rows, test.rows)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// TestFollowIsWoken checks what wakes a waiting scan besides rows, and that the end of a context is not final.
func TestFollowIsWoken(t *testing.T) {
	checkMemory(t)
	synctest.Test(t, func(t *testing.T) {
		rng := seeded(t)
		table := testTable(t, 1)
		b := newBucket(t, table, 0)
		columns, _ := Select(table.Schema, nil, nil)
		s := scanAll(t, table, columns, Spec{Follow: true}, b)
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		b.put(randomRows(rng, 2, 1)...)
		c, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Batch.Release()
		time.AfterFunc(100*time.Millisecond, func() {
			b.change(func() { b.gone = quiver.Errorf(quiver.TableNotFound, "the table was dropped") })
		})
		if _, err := s.Next(t.Context()); quiver.ReasonOf(err) != quiver.TableNotFound {
			t.Fatal(err)
		}
	})
}

// TestFollowTakesTurns checks that a bucket with much to read does not keep others waiting.
func TestFollowTakesTurns(t *testing.T) {
	checkMemory(t)
	rng := seeded(t)
	table := testTable(t, 2)
	a, b := newBucket(t, table, 0), newBucket(t, table, 1)
	for range 40 {
		a.put(randomRows(rng, 10, 1)...)
	}
	b.put(randomRows(rng, 10, 1)...)
	columns, _ := Select(table.Schema, nil, nil)
	s := scanAll(t, table, columns, Spec{Follow: true, BatchRows: 10}, a, b)
	defer s.Close()
	for i := range chunksPerTurn + 2 {
		c, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Batch.Release()
		if (c.Bucket == 1) != (i == chunksPerTurn) {
			t.Errorf("chunk %d is of bucket %d", i, c.Bucket)
		}
	}
}

// TestWait checks that news of any bucket end the wait, and the timeout ends it without.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := seeded(t)
		table := testTable(t, 2)
		a, b := newBucket(t, table, 0), newBucket(t, table, 1)
		a.put(randomRows(rng, 5, 1)...)
		at := func(place Place) []Range {
			ranges, err := Resolve(t.Context(), table, []Source{a, b}, Position{Place: place}, Position{}, true)
			if err != nil {
				t.Fatal(err)
			}
			return ranges
		}
		wait := func(ranges []Range) []News {
			t.Helper()
			news, err := Wait(t.Context(), Spec{Table: table, Sources: []Source{a, b}, Ranges: ranges}, 30*time.Second, Options{})
			if err != nil {
				t.Fatal(err)
			}
			return news
		}
		if got := wait(at(Earliest)); !slices.Equal(got, []News{{ID: a.ID(), Until: 5}}) {
			t.Errorf("news %v", got)
		}
		began := time.Now()
		if got := wait(at(Latest)); got != nil || time.Since(began) != 30*time.Second {
			t.Errorf("news %v after %v", got, time.Since(began))
		}
		time.AfterFunc(time.Second, func() { b.put(randomRows(rng, 3, 1)...) })
		if got := wait(at(Latest)); !slices.Equal(got, []News{{ID: b.ID(), Until: 3}}) {
			t.Errorf("news %v", got)
		}
		checkReaders(t, a, b)
	})
}
