package tablet

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/tablet/scan"
)

func TestMain(m *testing.M) {
	buf.SetPoison(true)
	goleak.VerifyTestMain(m)
}

// env is a server over a disk in memory, with a coordinator of a few lines.
type env struct {
	t      *testing.T
	mem    *fs.Mem
	fsys   fs.FS // mem, or what a test puts before it
	disk   *arrowlog.Disk
	server *Server
	layout *record.Layout
	live   int64 // buffers held before

	mu      sync.Mutex
	now     time.Time
	desired quiver.Desired
	elected int // calls of Elect
	refuse  error
	numbers int64 // given by Reserve
}

var idSchema = arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil)

// newEnv starts a server with one table, default.events with id 7, of so many buckets.
func newEnv(t *testing.T, buckets int32) *env {
	t.Helper()
	mem := fs.NewMem()
	e := &env{t: t, mem: mem, fsys: mem, now: time.UnixMilli(1_000_000), live: buf.Live()}
	e.desired.Version, e.desired.NextWriter = 1, 100
	e.addTable(7, "events", buckets, nil)
	e.start()
	t.Cleanup(e.stop)
	return e
}

func (e *env) addTable(id quiver.TableID, name string, buckets int32, options map[string]string) *quiver.Table {
	e.t.Helper()
	table, err := quiver.TableSpec{Database: "default", Name: name, Schema: idSchema, Buckets: buckets, Options: options}.Table(id, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	if e.layout, err = record.NewLayout(table.Schema); err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.desired.Tables = append(e.desired.Tables, table)
	for b := range buckets {
		e.desired.Assignments = append(e.desired.Assignments, quiver.Assignment{Bucket: quiver.BucketID{Table: id, Bucket: b}})
	}
	return table
}

// start opens the disk and the server, as a process does: every bucket gets a new epoch.
func (e *env) start() {
	e.t.Helper()
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	disk, err := arrowlog.OpenDisk(e.fsys, "data", arrowlog.Options{Now: e.clock, Logger: logger, Reserve: -1})
	if err != nil {
		e.t.Fatal(err)
	}
	e.disk = disk
	e.server = New(disk, Options{Now: e.clock, Elect: e.elect, Reserve: e.reserve, Logger: logger, FS: e.fsys, Data: "data"})
	e.mu.Lock()
	for i := range e.desired.Assignments {
		e.desired.Assignments[i].Epoch += 10
	}
	e.mu.Unlock()
	e.reconcile(func(*quiver.Desired) {})
}

// stop closes the server and the disk, and looks for what is left.
func (e *env) stop() {
	e.t.Helper()
	err := e.server.Close()
	if e.disk.Fence() == nil && err != nil {
		e.t.Errorf("close the server: %v", err)
	}
	if err := e.disk.Close(); err != nil {
		e.t.Errorf("close the disk: %v", err)
	}
	if live := buf.Live(); live != e.live {
		e.t.Errorf("%d buffers are still held", live-e.live)
	}
}

func (e *env) clock() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

func (e *env) advance(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = e.now.Add(d)
}

// reconcile changes what is desired and tells the server.
func (e *env) reconcile(change func(d *quiver.Desired)) {
	e.t.Helper()
	e.mu.Lock()
	e.desired.Version++
	change(&e.desired)
	d := e.desired
	d.Assignments = append([]quiver.Assignment(nil), d.Assignments...)
	d.Tables = append([]*quiver.Table(nil), d.Tables...)
	e.mu.Unlock()
	if err := e.server.Reconcile(context.Background(), d); err != nil {
		e.t.Error(err)
	}
}

// elect gives the next epoch, and tells the server of it before it answers, as the coordinator does.
func (e *env) elect(_ context.Context, id quiver.BucketID) (epoch quiver.Epoch, err error) {
	e.mu.Lock()
	e.elected++
	refuse := e.refuse
	e.mu.Unlock()
	if refuse != nil {
		return 0, refuse
	}
	e.reconcile(func(d *quiver.Desired) {
		for i := range d.Assignments {
			if a := &d.Assignments[i]; a.Bucket == id {
				a.Epoch++
				epoch = a.Epoch
			}
		}
	})
	return epoch, nil
}

// reserve gives numbers that nobody was given before.
func (e *env) reserve(_ context.Context, _ quiver.TableID, count int64) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := e.numbers
	e.numbers += count
	return first, nil
}

// drop drops a table as the coordinator does, leaving a tombstone.
func (e *env) drop(id quiver.TableID) {
	e.reconcile(func(d *quiver.Desired) {
		removeTable(d, id)
		d.Dropped = append(d.Dropped, id)
	})
}

func removeTable(d *quiver.Desired, id quiver.TableID) {
	for i, t := range d.Tables {
		if t.ID == id {
			d.Tables = append(append([]*quiver.Table(nil), d.Tables[:i]...), d.Tables[i+1:]...)
			return
		}
	}
}

// grant issues or raises a writer.
func (e *env) grant(id quiver.WriterID, epoch quiver.Epoch) {
	raised := e.clock().UnixMilli()
	e.reconcile(func(d *quiver.Desired) {
		var kept []quiver.WriterGrant
		for _, g := range d.Writers {
			if g.ID != id {
				kept = append(kept, g)
			}
		}
		d.Writers = append(kept, quiver.WriterGrant{ID: id, Epoch: epoch, Raised: raised})
	})
}

func (e *env) tablet(bucket int32) *Tablet {
	e.t.Helper()
	return e.tabletOf(7, bucket)
}

func (e *env) tabletOf(table quiver.TableID, bucket int32) *Tablet {
	e.t.Helper()
	tablet, err := e.server.Tablet(quiver.BucketID{Table: table, Bucket: bucket})
	if err != nil {
		e.t.Fatal(err)
	}
	return tablet
}

// unit is ids as a unit of one batch.
func (e *env) unit(ids ...int64) []*record.Batch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, idSchema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(ids, nil)
	rows := b.NewRecordBatch()
	defer rows.Release()
	batch, err := record.Encode(e.layout, rows, record.None)
	if err != nil {
		panic(err)
	}
	return []*record.Batch{batch}
}

// anonymous is the origin of an unsequenced unit.
func anonymous(rows int) Origin {
	return Origin{Writer: quiver.NoWriter, Sequence: quiver.NoSequence, Previous: quiver.NoSequence, ExpectOffset: -1, Rows: int64(rows)}
}

// by is the origin of a unit of a writer.
func by(writer quiver.WriterID, epoch quiver.Epoch, sequence quiver.Sequence, rows int) Origin {
	o := anonymous(rows)
	o.Writer, o.WriterEpoch, o.Sequence = writer, epoch, sequence
	return o
}

// put puts ids and waits.
func (e *env) put(tablet *Tablet, o Origin, ids ...int64) (Staged, error) {
	s, err := tablet.Put(context.Background(), e.unit(ids...), o)
	if err != nil {
		return s, err
	}
	return s, tablet.Wait(context.Background(), s)
}

func (e *env) mustPut(tablet *Tablet, ids ...int64) Staged {
	e.t.Helper()
	s, err := e.put(tablet, anonymous(len(ids)), ids...)
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

// scanner reads a table from its start.
func (e *env) scanner(table quiver.TableID, follow bool) (*scan.Scanner, error) {
	e.t.Helper()
	var meta *quiver.Table
	for _, t := range e.desired.Tables {
		if t.ID == table {
			meta = t
		}
	}
	sources, err := e.server.Sources(meta, nil, nil)
	if err != nil {
		return nil, err
	}
	ranges, err := scan.Resolve(context.Background(), meta, sources, scan.Position{}, scan.Position{}, follow)
	if err != nil {
		return nil, err
	}
	columns, err := scan.Select(meta.Schema, nil, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return scan.Open(scan.Spec{Table: meta, Sources: sources, Ranges: ranges, Columns: columns, Follow: follow}, scan.Options{})
}

// rows are the ids of all buckets of the table, by bucket.
func (e *env) rows(table quiver.TableID) map[int32][]int64 {
	e.t.Helper()
	s, err := e.scanner(table, false)
	if err != nil {
		e.t.Fatal(err)
	}
	defer s.Close()
	rows := map[int32][]int64{}
	for {
		c, err := s.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			e.t.Fatal(err)
		}
		rows[c.Bucket] = append(rows[c.Bucket], ids(e.t, c.Batch)...)
	}
}

// ids takes the values off a batch and releases it.
func ids(t *testing.T, b *record.Batch) []int64 {
	t.Helper()
	defer b.Release()
	rows, err := b.Decode()
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Release()
	return append([]int64(nil), rows.Column(0).(*array.Int64).Int64Values()...)
}

// reason fails the test if the error has another reason, or outcome.
func reason(t *testing.T, err error, want quiver.Reason, outcome quiver.Outcome) {
	t.Helper()
	if quiver.ReasonOf(err) != want || quiver.OutcomeOf(err) != outcome {
		t.Errorf("%v (outcome %v), want %s (outcome %v)", err, quiver.OutcomeOf(err), want, outcome)
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
