package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fs"
)

// dialTo connects our own client to an address.
func dialTo(t testing.TB, addr string, o flight.ClientOptions) *flight.Client {
	t.Helper()
	c, err := flight.Dial(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func makeTable(t testing.TB, c *flight.Client, name string, buckets int32) {
	t.Helper()
	if _, err := c.CreateTable(t.Context(), flight.TableCreate{Table: flight.Named(name), Buckets: &buckets, Schema: flight.SchemaWord{
		Columns: []quiver.ColumnSpec{{Name: "n", Type: "int64"}, {Name: "text", Type: "string"}}}}); err != nil {
		t.Fatal(err)
	}
}

// numbersOf reads the numbers of a table, sorted, and checks the order in each bucket.
func numbersOf(t testing.TB, c *flight.Client, table string) (all []int64) {
	t.Helper()
	s, err := c.Scan(t.Context(), flight.ScanCommand{Table: flight.Named(table), Columns: []string{"n"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	last := map[int32]int64{}
	for batch, err := range s.Batches() {
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range batch.Column(0).(*array.Int64).Int64Values() {
			if before, ok := last[s.Info().Bucket]; ok && n <= before {
				t.Fatalf("bucket %d: %d behind %d", s.Info().Bucket, n, before)
			}
			last[s.Info().Bucket] = n
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

func wantUpTo(t testing.TB, got []int64, until int64) {
	t.Helper()
	if int64(len(got)) != until {
		t.Errorf("%d rows, want %d", len(got), until)
	}
	for i, n := range got {
		if n != int64(i) {
			t.Fatalf("row %d is %d", i, n)
		}
	}
}

// TestClientExactlyOnceOverCutConnections breaks the connection at random bytes, both ways, while rows and batches are
// appended to several buckets and followed.
func TestClientExactlyOnceOverCutConnections(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	r := start(t, fs.NewMem())
	way := newProxy(t, r.FlightAddr())
	straight := dial(t, r, flight.ClientOptions{})
	makeTable(t, straight, "events", 3)
	c := dialTo(t, way.addr(), flight.ClientOptions{})

	const until = 6000
	followed := make(chan []int64, 1)
	scan, err := c.Scan(t.Context(), flight.ScanCommand{Table: flight.Named("events"), Columns: []string{"n"}, Follow: true, Limit: new(int64(until))})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer scan.Close()
		var got []int64
		for scan.Next() {
			got = append(got, scan.Batch().Column(0).(*array.Int64).Int64Values()...)
		}
		if err := scan.Err(); err != nil {
			t.Error(err)
		}
		slices.Sort(got)
		followed <- got
	}()

	a, err := c.Append(t.Context(), "events", flight.AppendOptions{Writer: "loader", BatchRows: 20, MaxUnacked: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	type event struct {
		N    int64  `arrow:"n"`
		Text string `arrow:"text"`
	}
	for n := int64(0); n < until; {
		if rng.IntN(20) == 0 {
			way.cutAfter(rng.Int64N(20_000))
		}
		if rng.IntN(2) == 0 {
			if err := a.AppendRow(t.Context(), event{n, "row"}); err != nil {
				t.Fatal(err)
			}
			n++
			continue
		}
		batch := rows(n, min(n+rng.Int64N(30)+1, until))
		n += batch.NumRows()
		if err := a.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		batch.Release()
	}
	totals, err := a.Close(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	covered := int64(0)
	for _, r := range totals.Ranges {
		covered += int64(r.Until - r.From)
	}
	if totals.Rows != until || covered != until {
		t.Errorf("%d rows are durable, ranges of %d were told", totals.Rows, covered)
	}
	wantUpTo(t, numbersOf(t, straight, "events"), until)
	wantUpTo(t, <-followed, until)
	if totals.Duplicates == 0 {
		t.Log("no batch was put twice")
	}
}

// TestClientExactlyOnceOverRestarts restarts the server under an appender and a follower.
func TestClientExactlyOnceOverRestarts(t *testing.T) {
	disk := fs.NewMem()
	r := start(t, disk)
	way := newProxy(t, r.FlightAddr())
	c := dialTo(t, way.addr(), flight.ClientOptions{})
	makeTable(t, c, "events", 2)
	a, err := c.Append(t.Context(), "events", flight.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scan, err := c.Scan(t.Context(), flight.ScanCommand{Table: flight.Named("events"), Columns: []string{"n"}, Follow: true, Limit: new(int64(500))})
	if err != nil {
		t.Fatal(err)
	}
	defer scan.Close()
	for i := range int64(50) {
		if err := a.Append(t.Context(), rows(10*i, 10*i+10)); err != nil {
			t.Fatal(err)
		}
		if i%20 == 10 {
			if err := r.stop(); err != nil { // drains: the streams end with SERVER_DRAINING
				t.Fatal(err)
			}
			r = start(t, disk)
			way.retarget(r.FlightAddr())
		}
	}
	totals, err := a.Close(t.Context())
	if err != nil || totals.Rows != 500 || totals.Batches != 50 {
		t.Fatalf("%+v, %v", totals, err)
	}
	var got []int64
	for scan.Next() {
		got = append(got, scan.Batch().Column(0).(*array.Int64).Int64Values()...)
	}
	if scan.Err() != nil {
		t.Fatal(scan.Err())
	}
	slices.Sort(got)
	wantUpTo(t, got, 500)
	wantUpTo(t, numbersOf(t, c, "events"), 500)
}

// TestClientUnsequencedIsNotRepeated: without a writer, what may be there is not put again.
func TestClientUnsequencedIsNotRepeated(t *testing.T) {
	r := start(t, fs.NewMem())
	way := newProxy(t, r.FlightAddr())
	c := dialTo(t, way.addr(), flight.ClientOptions{})
	makeTable(t, c, "events", 1)
	a, err := c.Append(t.Context(), "events", flight.AppendOptions{Unsequenced: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Append(t.Context(), rows(0, 10)); err != nil {
		t.Fatal(err)
	}
	if totals, err := a.Flush(t.Context()); err != nil || totals.Rows != 10 || totals.Sequence != quiver.NoSequence {
		t.Fatalf("%+v, %v", totals, err)
	}
	way.cut()
	for err == nil {
		err = a.Append(t.Context(), rows(10, 20))
		if err == nil {
			_, err = a.Flush(t.Context())
		}
		way.cut()
	}
	if quiver.ReasonOf(err) != quiver.Unreachable || quiver.OutcomeOf(err) != quiver.Unknown {
		t.Errorf("%v, outcome %v", err, quiver.OutcomeOf(err))
	}
	if _, again := a.Close(t.Context()); !errors.Is(again, err) {
		t.Errorf("Close says %v", again)
	}
}

// TestClientRefusals surface at once, name what is durable, and end the appender.
func TestClientRefusals(t *testing.T) {
	c := dial(t, start(t, fs.NewMem()), flight.ClientOptions{})
	makeTable(t, c, "events", 1)
	ctx := t.Context()
	first, err := c.Append(ctx, "events", flight.AppendOptions{Writer: "loader"})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Append(ctx, rows(0, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	second, err := c.Append(ctx, "events", flight.AppendOptions{Writer: "loader"})
	if err != nil || second.Writer().WriterID != first.Writer().WriterID || second.NextSequence() != 1 {
		t.Fatal(second, err)
	}
	for err = nil; err == nil; { // the first is fenced from now on
		err = first.Append(ctx, rows(10, 20))
	}
	totals, closed := first.Close(ctx)
	if quiver.ReasonOf(err) != quiver.FencedWriter || !errors.Is(closed, err) || totals.Rows != 10 {
		t.Errorf("%v, then %v; %+v", err, closed, totals)
	}
	if err := second.Append(ctx, rows(10, 20)); err != nil {
		t.Fatal(err)
	}
	if totals, err := second.Close(ctx); err != nil || totals.Sequence != 1 {
		t.Errorf("%+v, %v", totals, err)
	}
	wantUpTo(t, numbersOf(t, c, "events"), 20)

	expecting, err := c.Append(ctx, "events", flight.AppendOptions{ExpectOffset: new(quiver.Offset(7))})
	if err != nil {
		t.Fatal(err)
	}
	if err := expecting.Append(ctx, rows(20, 30)); err != nil {
		t.Fatal(err)
	}
	if _, err := expecting.Flush(ctx); quiver.ReasonOf(err) != quiver.ExpectedOffsetMismatch || quiver.OutcomeOf(err) != quiver.NotDone {
		t.Error(err)
	}
	if _, err := expecting.Close(ctx); quiver.ReasonOf(err) != quiver.ExpectedOffsetMismatch {
		t.Error(err)
	}
	for _, o := range []flight.AppendOptions{
		{Writer: "a", WriterID: new(quiver.WriterID(1))}, {Unsequenced: true, Writer: "a"},
		{Sequence: new(quiver.Sequence(1))}, {Compression: "gzip"},
	} {
		if _, err := c.Append(ctx, "events", o); quiver.ReasonOf(err) != quiver.BadCommand {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestClientContexts: a context ends the wait it was given for, and nothing else.
func TestClientContexts(t *testing.T) {
	r := start(t, fs.NewMem())
	way := newProxy(t, r.FlightAddr())
	c := dialTo(t, way.addr(), flight.ClientOptions{})
	makeTable(t, c, "events", 1)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	a, err := c.Append(ctx, "events", flight.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scan, err := c.Scan(ctx, flight.ScanCommand{Table: flight.Named("events"), Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	cancel(why)
	for scan.Next() {
		t.Log("an idle batch came first")
	}
	if !errors.Is(scan.Err(), why) {
		t.Errorf("the scan ended with %v", scan.Err())
	}
	scan.Close()
	if err := a.Append(t.Context(), rows(0, 10)); err != nil { // the appender outlives the context that it was made under
		t.Fatal(err)
	}
	if _, err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	way.retarget("127.0.0.1:1")
	way.cut()
	if err := a.Append(t.Context(), rows(10, 20)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Flush(ctx); !errors.Is(err, why) {
		t.Errorf("Flush says %v", err)
	}
	if totals, err := a.Close(ctx); !errors.Is(err, why) || totals.Rows != 10 {
		t.Errorf("Close says %+v, %v", totals, err)
	}
	if _, err := c.Tables(ctx, ""); !errors.Is(err, why) {
		t.Errorf("an action says %v", err)
	}
}

// TestClientDoubtOfAnEarlierTry sends a batch that reaches the server, and loses the way there for good: that the later
// tries surely did nothing does not tell what became of the first one.
func TestClientDoubtOfAnEarlierTry(t *testing.T) {
	var armed atomic.Bool
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r := start(t, fs.WithErrors(fs.NewMem(), func(op fs.Op, name string) error {
		if armed.Load() && op.Changes() && strings.Contains(name, "/log/") {
			once.Do(func() { close(reached) })
			<-release
		}
		return nil
	}))
	straight := dial(t, r, flight.ClientOptions{})
	makeTable(t, straight, "events", 1)
	way := newProxy(t, r.FlightAddr())
	a, err := dialTo(t, way.addr(), flight.ClientOptions{RetryFor: 300 * time.Millisecond}).Append(t.Context(), "events", flight.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	if err := a.Append(t.Context(), rows(0, 10)); err != nil {
		t.Fatal(err)
	}
	<-reached
	way.retarget("127.0.0.1:1")
	way.cut()
	_, err = a.Close(t.Context())
	close(release)
	if quiver.ReasonOf(err) != quiver.Unreachable || quiver.OutcomeOf(err) != quiver.Unknown {
		t.Errorf("%v, %v", err, quiver.OutcomeOf(err))
	}
	s, err := straight.Scan(t.Context(), flight.ScanCommand{Table: flight.Named("events"), Follow: true, Limit: new(int64(10))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for s.Next() { // until all ten are there
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}
