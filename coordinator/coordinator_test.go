package coordinator

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a coordinator that the test closes.
func open(t testing.TB, store metastore.Store, o Options) *Coordinator {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return time.UnixMilli(1_000_000) }
	}
	c, err := Open(context.Background(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// spec asks for a table in "default".
func spec(name string) quiver.TableSpec {
	return quiver.TableSpec{Database: "default", Name: name, Schema: testSchema}
}

func create(t *testing.T, c *Coordinator, name string) *quiver.Table {
	t.Helper()
	table, err := c.CreateTable(context.Background(), spec(name))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// want checks reason and outcome of an error.
func want(t *testing.T, err error, reason quiver.Reason, outcome quiver.Outcome) {
	t.Helper()
	if quiver.ReasonOf(err) != reason || quiver.OutcomeOf(err) != outcome {
		t.Fatalf("error = %v (%s, %v), want %s, %v", err, quiver.ReasonOf(err), quiver.OutcomeOf(err), reason, outcome)
	}
}

func TestLifeOfATable(t *testing.T) {
	ctx := context.Background()
	store := metastore.NewMemory()
	var told []quiver.Desired
	c := open(t, store, Options{Reconcile: func(_ context.Context, d quiver.Desired) error { told = append(told, d); return nil }})
	if len(told) != 1 || told[0].Version != 1 {
		t.Fatalf("told at the start: %+v", told)
	}
	table := create(t, c, "events")
	if last := told[len(told)-1]; len(last.Tables) != 1 || last.Tables[0].ID != table.ID || last.Assignments[0].Epoch != 1 {
		t.Fatalf("told: %+v", last)
	}
	_, err := c.CreateTable(ctx, spec("events"))
	want(t, err, quiver.TableExists, quiver.NotDone)
	again := spec("events")
	again.IfNotExists = true
	if got, err := c.CreateTable(ctx, again); err != nil || got.ID != table.ID {
		t.Fatalf("create again = %+v, %v", got, err)
	}
	if got, err := c.Table("default", "events"); err != nil || got.ID != table.ID {
		t.Fatalf("table = %+v, %v", got, err)
	}
	if got, err := c.TableByID(table.ID); err != nil || got.Name != "events" {
		t.Fatalf("table = %+v, %v", got, err)
	}
	create(t, c, "other")
	if got := c.Tables("default.e"); len(got) != 1 || len(c.Tables("")) != 2 {
		t.Fatalf("tables = %v", got)
	}
	if d := c.Databases(); len(d) != 1 || d[0].Name != "default" || d[0].Created != 1_000_000 {
		t.Fatalf("databases = %+v", d)
	}
	if dropped, err := c.DropTable(ctx, "default", "events", false); !dropped || err != nil {
		t.Fatalf("drop = %v, %v", dropped, err)
	}
	if dropped, err := c.DropTable(ctx, "default", "events", true); dropped || err != nil {
		t.Fatalf("drop = %v, %v", dropped, err)
	}
	_, err = c.Table("default", "events")
	want(t, err, quiver.TableNotFound, quiver.NotDone)
	_, err = c.TableByID(table.ID)
	want(t, err, quiver.TableNotFound, quiver.NotDone)
	_, err = c.Table("shop", "events")
	want(t, err, quiver.DatabaseNotFound, quiver.NotDone)
	if tombs := c.Tombstones(); len(tombs) != 1 || tombs[0].Table != table.ID || tombs[0].Path != "default.events" {
		t.Fatalf("tombstones = %+v", tombs)
	}
	if err := c.PurgeTombstone(ctx, table.ID); err != nil || len(c.Tombstones()) != 0 {
		t.Fatalf("purge: %v, %+v", err, c.Tombstones())
	}
	if told[len(told)-1].Version != c.Desired().Version {
		t.Fatal("the servers were not told of the last change")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateTable(ctx, spec("late"))
	want(t, err, quiver.ServerDraining, quiver.NotDone)
	second := open(t, store, Options{})
	if got := create(t, second, "events"); got.ID != table.ID+2 {
		t.Fatalf("the next table has id %d", got.ID)
	}
}

// TestServersFirst: what can be found has reached the servers.
func TestServersFirst(t *testing.T) {
	var c *Coordinator
	checked := false
	c = open(t, metastore.NewMemory(), Options{Reconcile: func(_ context.Context, d quiver.Desired) error {
		if len(d.Tables) == 1 {
			_, err := c.Table("default", "events")
			want(t, err, quiver.TableNotFound, quiver.NotDone)
			checked = true
		}
		return nil
	}})
	create(t, c, "events")
	if _, err := c.Table("default", "events"); err != nil || !checked {
		t.Fatal(err, checked)
	}
}

// flaky is a store whose next commits end otherwise than they would.
type flaky struct {
	metastore.Store
	mu      sync.Mutex
	script  []func(metastore.Txn) (metastore.Result, error) // for the next commits; nil: as usual
	commits int
}

func (f *flaky) Commit(ctx context.Context, txn metastore.Txn) (metastore.Result, error) {
	f.mu.Lock()
	f.commits++
	var act func(metastore.Txn) (metastore.Result, error)
	if len(f.script) > 0 {
		act, f.script = f.script[0], f.script[1:]
	}
	f.mu.Unlock()
	if act != nil {
		return act(txn)
	}
	return f.Store.Commit(ctx, txn)
}

func (f *flaky) next(acts ...func(metastore.Txn) (metastore.Result, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = acts
}

var errDisk = fmt.Errorf("write: %w", syscall.EIO)

// lost is a commit that did not happen, and nobody knows.
func (f *flaky) lost(metastore.Txn) (metastore.Result, error) {
	return metastore.Result{Outcome: metastore.Unknown}, errDisk
}

// hidden is a commit that happened, and nobody knows.
func (f *flaky) hidden(txn metastore.Txn) (metastore.Result, error) {
	_, _ = f.Store.Commit(context.Background(), txn)
	return metastore.Result{Outcome: metastore.Unknown}, errDisk
}

// refusal is a commit that did not happen, and everybody knows.
func (f *flaky) refusal(metastore.Txn) (metastore.Result, error) {
	return metastore.Result{}, errDisk
}

// TestUnknownOutcomes: a commit in doubt is repeated until the store knows; ids and epochs stay right.
func TestUnknownOutcomes(t *testing.T) {
	f := &flaky{Store: metastore.NewMemory()}
	c := open(t, f, Options{})
	type act = func(metastore.Txn) (metastore.Result, error)
	id := quiver.TableID(0)
	for i, acts := range [][]act{{f.lost}, {f.hidden}, {f.lost, f.lost}, {f.hidden, f.lost, f.refusal}, {f.lost, f.hidden}} {
		f.next(acts...)
		table := create(t, c, fmt.Sprintf("t%d", i))
		if id++; table.ID != id {
			t.Fatalf("table id %d, want %d", table.ID, id)
		}
	}
	f.next(f.refusal)
	_, err := c.CreateTable(context.Background(), spec("refused"))
	want(t, err, quiver.LeaderNotAvailable, quiver.NotDone)
	if table := create(t, c, "refused"); table.ID != id+1 {
		t.Fatalf("table id %d", table.ID)
	}
	loaded, err := Load(context.Background(), f.Store)
	if err != nil {
		t.Fatal(err)
	}
	same(t, c.state, loaded)
}

// TestDoubtThatStays: as long as the store does not know, callers are told so and nothing else is decided. Then the
// change is there.
func TestDoubtThatStays(t *testing.T) {
	f := &flaky{Store: metastore.NewMemory()}
	versions := []int64{}
	c := open(t, f, Options{Reconcile: func(_ context.Context, d quiver.Desired) error {
		versions = append(versions, d.Version)
		return nil
	}})
	f.next(f.lost, f.lost, f.lost, f.refusal, f.refusal, f.refusal, f.lost)
	_, err := c.CreateTable(context.Background(), spec("doubtful"))
	want(t, err, quiver.LeaderNotAvailable, quiver.Unknown)
	_, err = c.CreateTable(context.Background(), spec("next"))
	want(t, err, quiver.LeaderNotAvailable, quiver.NotDone)
	if _, err := c.Table("default", "doubtful"); err == nil {
		t.Fatal("a table in doubt is shown")
	}
	if err := c.Reconcile(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Table("default", "doubtful"); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(versions) != "[1 2]" {
		t.Fatalf("servers were told versions %v", versions)
	}
	if table := create(t, c, "next"); table.ID != 2 {
		t.Fatalf("table id %d", table.ID)
	}
}

// TestTakenOver: of two coordinators on one store only the younger one commits.
func TestTakenOver(t *testing.T) {
	f := &flaky{Store: metastore.NewMemory()}
	old := open(t, f, Options{})
	create(t, old, "a")
	f.next(f.lost, f.refusal, f.refusal, f.refusal)
	_, err := old.CreateTable(context.Background(), spec("doubtful"))
	want(t, err, quiver.LeaderNotAvailable, quiver.Unknown)
	young := open(t, f.Store, Options{})
	create(t, young, "b")
	for range 2 {
		_, err = old.CreateTable(context.Background(), spec("c"))
		want(t, err, quiver.LeaderNotAvailable, quiver.NotDone)
	}
	if d := young.Desired(); len(d.Tables) != 2 || d.Assignments[0].Epoch != 2 {
		t.Fatalf("desired = %+v", d)
	}
	loaded, err := Load(context.Background(), f.Store)
	if err != nil {
		t.Fatal(err)
	}
	same(t, young.state, loaded)
}

// TestServerThatDoesNotFollow: what was committed is done, also if a server could not follow; it is told again.
func TestServerThatDoesNotFollow(t *testing.T) {
	var fail error
	calls := 0
	c := open(t, metastore.NewMemory(), Options{Reconcile: func(context.Context, quiver.Desired) error { calls++; return fail }})
	fail = quiver.Errorf(quiver.DiskFull, "no space")
	table, err := c.CreateTable(context.Background(), spec("a"))
	want(t, err, quiver.DiskFull, quiver.Done)
	if table == nil || c.Unapplied() == nil {
		t.Fatalf("table = %v, unapplied = %v", table, c.Unapplied())
	}
	fail = errors.New("plain")
	want(t, c.Reconcile(context.Background()), quiver.LeaderNotAvailable, quiver.Done)
	fail = nil
	if err := c.Reconcile(context.Background()); err != nil || c.Unapplied() != nil {
		t.Fatal(err, c.Unapplied())
	}
	before := calls
	if err := c.Reconcile(context.Background()); err != nil || calls != before {
		t.Fatalf("servers that follow were told again: %v", err)
	}
	fail = errors.New("at the start")
	second, err := Open(context.Background(), metastore.NewMemory(), Options{Reconcile: func(context.Context, quiver.Desired) error { return fail }})
	if err != nil || second.Unapplied() == nil {
		t.Fatal(err)
	}
	_ = second.Close()
}

// TestWaitingCommandsShareACommit holds one round up: all that wait meanwhile take one more.
func TestWaitingCommandsShareACommit(t *testing.T) {
	const n = 100
	f := &flaky{Store: metastore.NewMemory()}
	entered, leave := make(chan struct{}), make(chan struct{})
	hold := false
	c := open(t, f, Options{Reconcile: func(context.Context, quiver.Desired) error {
		if hold {
			hold = false
			close(entered)
			<-leave
		}
		return nil
	}})
	hold = true
	var wg sync.WaitGroup
	wg.Go(func() { create(t, c, "first") })
	<-entered
	before := f.commits
	ids := make([]quiver.WriterID, n)
	for i := range n {
		wg.Go(func() {
			g, err := c.InitWriter(context.Background(), InitWriter{})
			if err != nil {
				t.Error(err)
			}
			ids[i] = g.ID
		})
	}
	for queued := 0; queued < n; {
		c.mu.Lock()
		queued = len(c.queue)
		c.mu.Unlock()
	}
	close(leave)
	wg.Wait()
	if got := f.commits - before; got != 1 {
		t.Errorf("%d commands took %d commits", n, got)
	}
	seen := map[quiver.WriterID]bool{}
	for _, id := range ids {
		if seen[id] || id == 0 {
			t.Fatalf("writer %d was given twice", id)
		}
		seen[id] = true
	}
}

// TestEveryWaitEnds: by the caller's context, and by Close.
func TestEveryWaitEnds(t *testing.T) {
	entered := make(chan struct{})
	hold := false
	c := open(t, metastore.NewMemory(), Options{Reconcile: func(ctx context.Context, _ quiver.Desired) error {
		if !hold {
			return nil
		}
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}})
	hold = true
	answers := make(chan error, 1)
	go func() {
		_, err := c.CreateTable(context.Background(), spec("a"))
		answers <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	waiting := make(chan error, 1)
	go func() {
		_, err := c.CreateTable(ctx, spec("b"))
		waiting <- err
	}()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Fatalf("waiting: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, <-answers, quiver.LeaderNotAvailable, quiver.Done)
}

// TestReasonOfAnEndedWait: a caller whose context ended for a reason of ours is told that.
func TestReasonOfAnEndedWait(t *testing.T) {
	c := open(t, metastore.NewMemory(), Options{})
	for _, reason := range []quiver.Reason{quiver.ServerDraining, quiver.Overloaded} {
		ctx, cancel := context.WithCancelCause(context.Background())
		if reason == quiver.ServerDraining {
			cancel(quiver.Errorf(reason, "the server is shutting down"))
		}
		cancel(nil)
		_, err := c.CreateTable(ctx, spec("a"))
		want(t, err, reason, quiver.NotDone)
	}
}

// TestDamagedStore: what cannot be understood is refused by its key, and nothing is written.
func TestDamagedStore(t *testing.T) {
	good := func() *metastore.Memory {
		s := metastore.NewMemory()
		c := open(t, s, Options{})
		create(t, c, "events")
		_, _ = c.InitWriter(context.Background(), InitWriter{Name: "w"})
		_ = c.Close()
		return s
	}
	table, err := good().Range(context.Background(), tablePrefix, func(metastore.Entry) error { return nil })
	if err != nil || table == 0 {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"head ":                              `{}`,
		"nonsense/1":                         `{}`,
		"table/1":                            `{}`,
		"table/00000000000000000002":         `{"database":"default","name":"x","schema":{},"buckets":1}`,
		"table/00000000000000000001":         `not JSON`,
		"elect/1/2/3":                        `{"epoch":1}`,
		"writer/00000000000000000099":        `{"epoch":1}`,
		"writer/00000000000000000001x":       `{"epoch":1}`,
		"dropped/-0000000000000000001":       `{}`,
		"writer/99999999999999999999":        `{}`,
		"database/default":                   `[]`,
		"elect/00000000000000000001/0/0":     `{}`,
		"dropped/00000000000000000001/extra": `{}`,
	} {
		s := good()
		txn := metastore.Txn{Request: metastore.RequestID{1, 2, 3}, Puts: []metastore.Put{{Key: key, Value: []byte(value)}}}
		r, err := s.Commit(context.Background(), txn)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(context.Background(), s, Options{})
		want(t, err, quiver.Internal, quiver.NotDone)
		if after, _ := s.Range(context.Background(), "", func(metastore.Entry) error { return nil }); after != r.Version {
			t.Errorf("%s: something was written", key)
		}
	}
}

// TestRecordsThatDoNotFit: a store whose records are sound one by one, but not together, is refused, and the error says
// which of them is wrong, and why.
func TestRecordsThatDoNotFit(t *testing.T) {
	head := func(change string) string {
		sound := `{"format":2,"base":1,"epoch":2,"next_table":9,"next_writer":9,"next_partition":1}`
		name, _, _ := strings.Cut(change, ":")
		return regexp.MustCompile(name+`:\d+`).ReplaceAllString(sound, change)
	}
	for _, test := range []struct{ key, value, says string }{
		{headKey, head(`"format":2`), ""},
		{headKey, head(`"format":3`), "its format is 3, this program knows 1 to 2"},
		{headKey, head(`"format":0`), "its format is 0"},
		{headKey, head(`"base":3`), "its counters are impossible"},
		{headKey, head(`"base":0`), "its counters are impossible"},
		{headKey, head(`"next_partition":0`), "its counters are impossible"},
		{headKey, head(`"next_table":1`), "the next table is to be 1"},
		{headKey, head(`"next_table":2`), ""},
		{headKey, head(`"next_writer":1`), "the next writer is to be 1"},
		{headKey, head(`"next_writer":2`), ""},
		{cursorKey(1, "job"), `{"offsets":{"0":{"0":5}}}`, ""},
		{cursorKey(2, "job"), `{"offsets":{"0":{"0":5}}}`, "there is no table 2"},
	} {
		s := metastore.NewMemory()
		c := open(t, s, Options{})
		create(t, c, "events")
		_, err := c.InitWriter(t.Context(), InitWriter{Name: "w"})
		if err := errors.Join(err, c.Close()); err != nil {
			t.Fatal(err)
		}
		txn := metastore.Txn{Request: metastore.RequestID{1, 2, 3}, Puts: []metastore.Put{{Key: test.key, Value: []byte(test.value)}}}
		if _, err := s.Commit(t.Context(), txn); err != nil {
			t.Fatal(err)
		}
		_, err = Load(t.Context(), s)
		switch {
		case test.says == "" && err != nil:
			t.Errorf("%s %s: %v", test.key, test.value, err)
		case test.says != "" && (quiver.ReasonOf(err) != quiver.Internal || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s %s: %v, want %q", test.key, test.value, err, test.says)
		}
	}
}
