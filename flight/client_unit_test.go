package flight

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quiverlog/quiver"
)

// TestRangeSet compares the set with one that knows every offset.
func TestRangeSet(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var s rangeSet
		every := map[bucketName]map[quiver.Offset]bool{}
		for range 1 + rng.IntN(40) {
			r := Range{Partition: []string{"", "dt=1"}[rng.IntN(2)], Bucket: rng.Int32N(2), From: quiver.Offset(rng.IntN(100))}
			r.Until = r.From + quiver.Offset(rng.IntN(12))
			s.add(r)
			name := bucketName{r.Partition, r.Bucket}
			if every[name] == nil {
				every[name] = map[quiver.Offset]bool{}
			}
			for o := r.From; o < r.Until; o++ {
				every[name][o] = true
			}
		}
		covered := 0
		list := s.list()
		for i, r := range list {
			covered += int(r.Until - r.From)
			for o := r.From; o < r.Until; o++ {
				if !every[bucketName{r.Partition, r.Bucket}][o] {
					t.Fatalf("offset %d is in %v and was never added", o, list)
				}
			}
			if i > 0 && list[i-1].Partition == r.Partition && list[i-1].Bucket == r.Bucket && list[i-1].Until >= r.From {
				t.Fatalf("%v and %v are not apart", list[i-1], r)
			}
		}
		want := 0
		for _, offsets := range every {
			want += len(offsets)
		}
		if covered != want || s.count != len(list) || !slices.IsSortedFunc(list, func(a, b Range) int {
			return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.From, b.From))
		}) {
			t.Fatalf("%d offsets are covered, %d were added: %v", covered, want, list)
		}
	}
	var full rangeSet
	for i := range quiver.Offset(maxRanges + 1) {
		full.add(Range{From: 2 * i, Until: 2*i + 1})
	}
	if len(full.list()) != maxRanges || !full.cut {
		t.Errorf("%d ranges, cut: %v", len(full.list()), full.cut)
	}
	full.add(Range{From: 1, Until: 2}) // joins two of them
	if len(full.list()) != maxRanges-1 {
		t.Errorf("%d ranges", len(full.list()))
	}
}

// TestClientReadsNewerServers: keys that are not known are passed over, everything else is as strict as ever.
func TestClientReadsNewerServers(t *testing.T) {
	info, err := batchInfo([]byte(`{"bucket":1,"from":2,"until":3,"high_watermark":4,"new":{"deep":[1]}}`))
	if err != nil || info.Bucket != 1 || info.Until != 3 {
		t.Error(info, err)
	}
	answer, err := putAnswer([]byte(`{"batches":1,"ranges":[{"bucket":0,"from":1,"until":2,"epoch":7}],"new":1}`))
	if err != nil || answer.Batches != 1 || answer.Ranges[0].Until != 2 {
		t.Error(answer, err)
	}
	if _, err := ParsePutAnswer([]byte(`{"batches":1,"new":1}`)); err == nil {
		t.Error("the strict form took an unknown key")
	}
	if _, err := batchInfo([]byte(`{"bucket":"one"}`)); quiver.ReasonOf(err) != quiver.Internal {
		t.Error(err)
	}
	var free map[string]any
	if err := decodeLoose([]byte(`{"a":1.5}`), &free); err != nil || free["a"] != 1.5 {
		t.Error(free, err)
	}
}

func TestCallError(t *testing.T) {
	why := errors.New("enough")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	for _, c := range []struct {
		err     error
		reason  quiver.Reason
		outcome quiver.Outcome
		again   bool
	}{
		{status.Error(codes.Unavailable, "connection refused"), quiver.Unreachable, quiver.Unknown, true},
		{status.Error(codes.Internal, "stream terminated by RST_STREAM"), quiver.Unreachable, quiver.Unknown, true},
		{status.Error(codes.Canceled, "the server has no such words"), quiver.Unreachable, quiver.Unknown, true},
		{status.Error(codes.Unimplemented, "no such method"), quiver.BadCommand, quiver.NotDone, false},
		{status.Error(codes.ResourceExhausted, "message larger than max"), quiver.BatchTooLarge, quiver.Unknown, false},
		{ToStatus(quiver.Errorf(quiver.ServerDraining, "going down").WithOutcome(quiver.Unknown)), quiver.ServerDraining, quiver.Unknown, true},
		{ToStatus(quiver.Errorf(quiver.TableNotFound, "no such table")), quiver.TableNotFound, quiver.NotDone, false},
	} {
		err := callError(t.Context(), c.err)
		if quiver.ReasonOf(err) != c.reason || quiver.OutcomeOf(err) != c.outcome || isRetriable(err) != c.again {
			t.Errorf("%v became %v, outcome %v, again: %v", c.err, err, quiver.OutcomeOf(err), isRetriable(err))
		}
	}
	if err := callError(ended, status.Error(codes.Canceled, "context canceled")); !errors.Is(err, why) {
		t.Error(err)
	}
	if err := callError(ended, ToStatus(quiver.Errorf(quiver.TableNotFound, "no such table"))); quiver.ReasonOf(err) != quiver.TableNotFound {
		t.Errorf("the server's word is lost: %v", err)
	}
	if got := retryAfter(quiver.Errorf(quiver.Overloaded, "busy").Note("retry_after_ms", "250")); got != 250*time.Millisecond {
		t.Error(got)
	}
}

// TestGatheredKeys checks when keys that are gathered go: the first ones at once, a second request when it is as large as
// the first, and what is gathered then with the next answer.
func TestGatheredKeys(t *testing.T) {
	type key struct {
		ID int64 `arrow:"id"`
	}
	l := &Lookuper{client: &Client{options: ClientOptions{Allocator: memory.DefaultAllocator}}, options: LookupOptions{}.withDefaults(),
		wake: make(chan struct{}, 1), news: make(chan struct{})}
	set, err := newKeySet(l, reflect.TypeFor[key](), arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil))
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	add := func(keys int) {
		for range keys {
			if _, _, err := set.addLocked(); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(when string, rows ...int) {
		t.Helper()
		var queued []int
		for _, a := range l.queue {
			queued = append(queued, a.rows)
		}
		if !slices.Equal(queued, rows) {
			t.Fatalf("%s requests of %d keys are under way, want %d", when, queued, rows)
		}
	}
	add(1)
	want("after one key", 1)
	add(1)
	want("after another", 1, 1)
	add(6)
	want("while two are under way", 1, 1)
	l.settleLocked(nil)
	want("after an answer", 1, 6)
	l.settleLocked(nil)
	want("after another answer", 6)
	add(5)
	want("with fewer keys than are under way", 6)
	add(1)
	want("with as many", 6, 6)
	for len(l.queue) > 0 {
		l.settleLocked(nil)
	}
	if set.asked != 0 || set.underWay != 0 {
		t.Errorf("%d keys in %d requests are said to be under way", set.asked, set.underWay)
	}
	set.closeLocked()
}
