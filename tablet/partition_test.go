package tablet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// partitioned makes table 7 one with partitions, of the ids given; their names are p=<id>.
func (e *env) partitioned(ids ...quiver.PartitionID) {
	e.t.Helper()
	e.reconcile(func(d *quiver.Desired) { setPartitions(d, 7, ids...) })
}

// setPartitions gives a table the partitions of the ids, and each of their buckets an epoch where it has none.
func setPartitions(d *quiver.Desired, id quiver.TableID, ids ...quiver.PartitionID) {
	assigned := make(map[quiver.BucketID]quiver.Epoch)
	for _, a := range d.Assignments {
		assigned[a.Bucket] = a.Epoch
	}
	for i, t := range d.Tables {
		if t.ID != id {
			continue
		}
		changed := *t
		changed.PartitionBy = []quiver.ColumnID{1}
		changed.Partitions = nil
		for _, p := range ids {
			changed.Partitions = append(changed.Partitions, quiver.Partition{ID: p, Name: fmt.Sprintf("p=%d", p)})
			for b := range t.Buckets {
				assigned[quiver.BucketID{Table: id, Partition: p, Bucket: b}] += 0
			}
		}
		slices.SortFunc(changed.Partitions, func(a, b quiver.Partition) int { return strings.Compare(a.Name, b.Name) })
		d.Tables[i] = &changed
	}
	maps.DeleteFunc(assigned, func(b quiver.BucketID, _ quiver.Epoch) bool {
		return b.Table == id && !slices.Contains(ids, b.Partition)
	})
	d.Assignments = nil
	for b, epoch := range assigned {
		d.Assignments = append(d.Assignments, quiver.Assignment{Bucket: b, Epoch: epoch})
	}
	slices.SortFunc(d.Assignments, func(a, b quiver.Assignment) int { return strings.Compare(a.Bucket.String(), b.Bucket.String()) })
}

// dropPartition drops a partition of table 7 as the coordinator does.
func (e *env) dropPartition(drop quiver.PartitionID) {
	e.t.Helper()
	e.reconcile(func(d *quiver.Desired) {
		var kept []quiver.PartitionID
		for _, t := range d.Tables {
			for _, p := range t.Partitions {
				if t.ID == 7 && p.ID != drop {
					kept = append(kept, p.ID)
				}
			}
		}
		setPartitions(d, 7, kept...)
		d.DroppedPartitions = append(d.DroppedPartitions, quiver.PartitionRef{Table: 7, Partition: drop})
	})
}

func (e *env) tabletIn(partition quiver.PartitionID, bucket int32) *Tablet {
	e.t.Helper()
	tablet, err := e.server.Tablet(quiver.BucketID{Table: 7, Partition: partition, Bucket: bucket})
	if err != nil {
		e.t.Fatal(err)
	}
	return tablet
}

func TestPartitionsComeAndGo(t *testing.T) {
	e := newEnv(t, 2)
	e.partitioned(1)
	one := e.tabletIn(1, 1)
	e.mustPut(one, 1, 2)
	if one.PartitionName() != "p=1" {
		t.Errorf("partition %q", one.PartitionName())
	}
	if _, err := e.server.Tablet(quiver.BucketID{Table: 7, Partition: 2}); quiver.ReasonOf(err) != quiver.PartitionNotFound {
		t.Errorf("a partition that is not there: %v", err)
	}
	e.partitioned(1, 2)
	e.mustPut(e.tabletIn(2, 1), 3)
	if same := e.tabletIn(1, 1); same != one {
		t.Error("a partition that stayed has other tablets")
	}
	e.dropPartition(1)
	_, err := e.put(one, anonymous(1), 4)
	reason(t, err, quiver.PartitionNotFound, quiver.NotDone)
	if err == nil || !strings.Contains(err.Error(), "table default.events, partition p=1") {
		t.Errorf("the error does not name the partition: %v", err)
	}
	if !e.server.PartitionRemoved(quiver.PartitionRef{Table: 7, Partition: 1}) {
		t.Error("the data is not removed")
	}
	if names, _ := e.mem.List("data/log/7"); !slices.Equal(names, []string{"2"}) {
		t.Errorf("directories of partitions: %v", names)
	}
	e.mustPut(e.tabletIn(2, 1), 5)
}

// A partition that is absent without a tombstone is not served, and its data stays.
func TestAbsentPartitionIsKept(t *testing.T) {
	e := newEnv(t, 1)
	e.partitioned(1, 2)
	one := e.tabletIn(1, 0)
	e.mustPut(one, 1)
	e.partitioned(2)
	_, err := e.put(one, anonymous(1), 2)
	reason(t, err, quiver.LeaderNotAvailable, quiver.NotDone)
	e.partitioned(1, 2)
	if got := e.mustPut(e.tabletIn(1, 0), 3); got.From != 1 {
		t.Errorf("the next row lies at %d", got.From)
	}
}

func TestWatchTellsOfPartitions(t *testing.T) {
	e := newEnv(t, 1)
	e.partitioned(1)
	news := make(chan struct{}, 1)
	cancel := e.server.Watch(7, news)
	told := func(want bool, what string) {
		t.Helper()
		select {
		case <-news:
			if !want {
				t.Errorf("%s is no news", what)
			}
		default:
			if want {
				t.Errorf("%s was not told", what)
			}
		}
	}
	e.grant(5, 0)
	told(false, "a writer")
	e.partitioned(1, 2)
	told(true, "a new partition")
	if table, err := e.server.Table(7); err != nil || len(table.Partitions) != 2 {
		t.Errorf("the table has %v, %v", table, err)
	}
	e.dropPartition(1)
	told(true, "a dropped partition")
	e.drop(7)
	told(true, "a dropped table")
	cancel()
	if len(e.server.watches) != 0 {
		t.Error("the watch stays")
	}
}

// TestCrashWhileDroppingAPartition cuts the power after every step of a removal. The next process finds the tombstone
// and ends what was begun; the other partition has all its rows.
func TestCrashWhileDroppingAPartition(t *testing.T) {
	rng := seeded(t)
	e := newEnv(t, 3)
	e.partitioned(1, 2)
	e.stop()
	var clones []*fs.Mem
	recording := false
	e.fsys = fs.Record(e.mem, func(fs.Op, string) {
		if recording {
			clones = append(clones, e.mem.CrashClone(fs.CrashConfig{Rand: rng, KeepUnsynced: rng.IntN(101), TearSectors: true, TearEntries: true}))
		}
	})
	e.start()
	for b := range int32(3) {
		e.mustPut(e.tabletIn(1, b), 1, 2, 3)
	}
	e.mustPut(e.tabletIn(2, 1), 4, 5)
	e.server.Maintain(t.Context())
	recording = true
	e.dropPartition(1)
	recording = false
	if len(clones) < 3 {
		t.Fatalf("only %d steps", len(clones))
	}
	for i, left := range clones {
		e.stop()
		e.mem, e.fsys = left, left
		e.start()
		if names, _ := left.List("data/log/7"); slices.Contains(names, "1") {
			t.Errorf("after step %d: the partition's files are there", i)
		}
		if got := e.rows(7)[1]; !slices.Equal(got, []int64{4, 5}) {
			t.Errorf("after step %d: rows %v", i, got)
		}
	}
}

// TestRemovalOfPartitionsIsTriedAgain has the removal of one of two partitions fail once.
func TestRemovalOfPartitionsIsTriedAgain(t *testing.T) {
	e := newEnv(t, 1)
	e.stop()
	failing := true
	e.fsys = fs.WithErrors(e.mem, func(op fs.Op, name string) error {
		if failing && op == fs.OpRemoveAll && strings.HasSuffix(name, "1") {
			return errors.New("cannot remove")
		}
		return nil
	})
	e.start()
	e.partitioned(1, 2, 3)
	for p := range quiver.PartitionID(3) {
		e.mustPut(e.tabletIn(p+1, 0), int64(p))
	}
	e.reconcile(func(d *quiver.Desired) {
		setPartitions(d, 7, 3)
		d.DroppedPartitions = []quiver.PartitionRef{{Table: 7, Partition: 1}, {Table: 7, Partition: 2}}
	})
	removed := func(want ...bool) {
		t.Helper()
		for i, w := range want {
			if got := e.server.PartitionRemoved(quiver.PartitionRef{Table: 7, Partition: quiver.PartitionID(i + 1)}); got != w {
				t.Errorf("partition %d: removed %v, want %v", i+1, got, w)
			}
		}
	}
	removed(false, true, false)
	failing = false
	e.server.Maintain(t.Context())
	removed(true, true, false)
	if got := e.rows(7)[0]; !slices.Equal(got, []int64{2}) {
		t.Errorf("rows %v", got)
	}
}

// TestEpochsOfPartitions compares epochs as they are kept with a map of all of them.
func TestEpochsOfPartitions(t *testing.T) {
	r := seeded(t)
	const buckets = 5
	meta := &quiver.Table{ID: 1, Buckets: buckets}
	table := newTable(meta)
	p := table.partitions[0]
	want := map[int32]quiver.Epoch{}
	for b := range int32(buckets) {
		want[b] = noEpoch
	}
	for range 2000 {
		var as []quiver.Assignment
		base := quiver.Epoch(r.IntN(50))
		for b := range int32(buckets) {
			if r.IntN(4) > 0 {
				as = append(as, quiver.Assignment{Bucket: quiver.BucketID{Table: 1, Bucket: b}, Epoch: base + quiver.Epoch(r.IntN(3))})
			}
		}
		if len(as) == 0 {
			continue
		}
		p.assign(as)
		for _, a := range as {
			want[a.Bucket.Bucket] = max(want[a.Bucket.Bucket], a.Epoch)
		}
		for b, epoch := range want {
			if got := p.epoch(b); got != epoch {
				t.Fatalf("bucket %d has epoch %d, want %d", b, got, epoch)
			}
		}
		for b, epoch := range p.raised {
			if epoch <= p.base {
				t.Fatalf("bucket %d is kept with epoch %d, which is not above %d", b, epoch, p.base)
			}
		}
	}
}

// TestIdleBucketsCostNothing makes a table of many buckets and of many partitions known: what the server allocates does
// not depend on the number of buckets, and telling it again allocates next to nothing.
func TestIdleBucketsCostNothing(t *testing.T) {
	e := newEnv(t, 1)
	table := e.desired.Tables[0]
	desired := func(version int64, buckets int32) quiver.Desired {
		many := *table
		many.ID, many.Buckets = 8, buckets
		d := quiver.Desired{Version: version, Tables: []*quiver.Table{table, &many}, Assignments: []quiver.Assignment{{}}}
		d.Assignments[0].Bucket.Table = 7
		for b := range buckets {
			d.Assignments = append(d.Assignments, quiver.Assignment{Bucket: quiver.BucketID{Table: 8, Bucket: b}, Epoch: 3})
		}
		return d
	}
	grown := func(d quiver.Desired) (bytes uint64) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := e.server.Reconcile(context.Background(), d); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	d := desired(1000, 100_000)
	if bytes := grown(d); bytes > 20_000 {
		t.Errorf("100,000 idle buckets took %d bytes", bytes)
	}
	d.Version++
	if bytes := grown(d); bytes > 20_000 {
		t.Errorf("telling of 100,000 idle buckets again took %d bytes", bytes)
	}
	tablet, err := e.server.Tablet(quiver.BucketID{Table: 8, Bucket: 99_999})
	if err != nil {
		t.Fatal(err)
	}
	if tablet.assigned() != 3 {
		t.Errorf("epoch %d", tablet.assigned())
	}
}

// BenchmarkReconcile tells a server of 100,000 buckets that it knows, in one partition and in as many.
func BenchmarkReconcile(b *testing.B) {
	for _, partitions := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			table := &quiver.Table{ID: 1, Buckets: int32(100_000 / partitions), PartitionBy: []quiver.ColumnID{1}}
			d := quiver.Desired{Version: 1, Tables: []*quiver.Table{table}}
			for p := range partitions {
				table.Partitions = append(table.Partitions, quiver.Partition{ID: quiver.PartitionID(p + 1), Name: fmt.Sprintf("p=%09d", p)})
				for n := range table.Buckets {
					d.Assignments = append(d.Assignments, quiver.Assignment{
						Bucket: quiver.BucketID{Table: 1, Partition: quiver.PartitionID(p + 1), Bucket: n}, Epoch: 1,
					})
				}
			}
			s := New(nil, Options{Now: time.Now})
			b.ReportAllocs()
			for b.Loop() {
				d.Version++
				if err := s.Reconcile(context.Background(), d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestSourcesPassOverWhatIsGone reads a table as it was heard of before one of its partitions was dropped.
func TestSourcesPassOverWhatIsGone(t *testing.T) {
	e := newEnv(t, 2)
	e.partitioned(3, 4)
	e.start()
	defer e.stop()
	before, err := e.server.Table(7)
	if err != nil {
		t.Fatal(err)
	}
	e.dropPartition(3)
	sources, err := e.server.Sources(before, nil, nil)
	if err != nil || len(sources) != 2 || sources[0].ID().Partition != 4 {
		t.Errorf("of all partitions %d buckets are read, %v", len(sources), err)
	}
	gone, _ := before.Partition("p=3")
	if _, err := e.server.Sources(before, &gone, nil); quiver.ReasonOf(err) != quiver.PartitionNotFound {
		t.Errorf("a partition that is gone and asked for by name: %v", err)
	}
}
