package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// saved is a bucket with a log that retention shortens: start is where it begins, which no checkpoint may be behind.
type saved struct {
	bucket
	disk  *fs.Mem
	start int64
	last  int64 // what the newest checkpoint has at least
}

func newSaved(t *testing.T, r *rand.Rand) *saved {
	config := randomConfig(t, r)
	s := &saved{bucket: bucket{t: t, r: r, model: &model{config: config, rows: map[string]modelRow{}}}, disk: fs.NewMem()}
	s.open(s.disk, config)
	return s
}

// checkpoint makes a checkpoint, and what it has is taken off the log.
func (s *saved) checkpoint() {
	s.t.Helper()
	applied := s.tablet.Mark().Applied
	if err := s.dir.Checkpoint(s.store); err != nil {
		s.t.Fatal(err)
	}
	c, err := s.dir.Saved()
	if err != nil {
		s.t.Fatal(err)
	}
	mark, err := c.Mark(testBucket)
	if err := errors.Join(err, c.Close()); err != nil || mark.Applied < applied {
		s.t.Fatalf("the checkpoint has the rows at %d, applied were those at %d, %v", mark.Applied, applied, err)
	}
	s.last = int64(mark.Applied)
}

// retain takes off the log what the newest checkpoint has.
func (s *saved) retain() {
	for len(s.log) > 0 && int64(s.log[0].Base)+int64(s.log[0].Types.Len()) <= s.last {
		s.log = s.log[1:]
		s.start = s.last
		if len(s.log) > 0 {
			s.start = int64(s.log[0].Base)
		}
	}
}

// advanceAll moves the high watermark to the end of the log.
func (s *saved) advanceAll() {
	s.t.Helper()
	for s.high < s.end {
		s.advance()
	}
}

func (s *saved) fits(m Mark) bool { return int64(m.Applied) >= s.start && int64(m.Applied) <= s.high }

// revive opens what is on a disk, and brings the rows up to the log. It gives false if the log does not suffice.
func (s *saved) revive(disk *fs.Mem) bool {
	s.t.Helper()
	s.disk = disk
	s.open(disk, s.model.config)
	if mark := s.tablet.Mark(); !s.fits(mark) {
		ok, err := s.dir.Rescue(s.t.Context(), s.store, testBucket, s.fits)
		if err != nil {
			s.t.Fatal(err)
		}
		if !ok {
			return false
		}
		if s.tablet, err = s.store.Tablet(testBucket, s.model.config); err != nil {
			s.t.Fatal(err)
		}
		if !s.fits(s.tablet.Mark()) {
			s.t.Fatalf("rescued were the rows at %d, the log has [%d, %d)", s.tablet.Mark().Applied, s.start, s.high)
		}
	}
	for _, piece := range s.log {
		fold := s.tablet.StageLog
		if int64(piece.Base) < s.high {
			fold = func(c *Changelog) error { return s.tablet.Fold(c, 2) }
		}
		if err := fold(piece); err != nil {
			s.t.Fatal(err)
		}
	}
	s.check()
	return true
}

func (s *saved) close() {
	s.t.Helper()
	if err := errors.Join(s.store.Close(), s.dir.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// found is what an offline check finds on a disk, beside the log as it is.
func (s *saved) found(disk fs.FS) []quiver.Finding {
	s.t.Helper()
	found, err := verifyDir(disk, s.model.config, changelog(s.log, s.start, s.high), foldBytes)
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// spoil does something to a file of a directory, chosen at random. It tells whether the file is another one now.
func (s *saved) spoil(dir string, do ...func(path string) error) (spoiled bool) {
	s.t.Helper()
	names, err := s.disk.List(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(names)
	name := names[s.r.IntN(len(names))]
	if strings.HasSuffix(name, tableSuffix) {
		do = do[:1] // whatever is changed in it changes in the checkpoint too
	}
	what := s.r.IntN(len(do))
	s.t.Logf("file %s/%s: %d", dir, name, what)
	before, err := fs.ReadFile(s.disk, dir+"/"+name)
	if err == nil {
		err = do[what](dir + "/" + name)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	after, err := fs.ReadFile(s.disk, dir+"/"+name)
	return err != nil || !bytes.Equal(before, after)
}

func (s *saved) remove(path string) error { return s.disk.Remove(path) }

func (s *saved) truncate(path string) error {
	info, err := s.disk.Stat(path)
	if err != nil || info.Size() == 0 {
		return err
	}
	return s.disk.Truncate(path, s.r.Int64N(info.Size()))
}

func (s *saved) flip(path string) error {
	b, err := fs.ReadFile(s.disk, path)
	if err != nil || len(b) == 0 {
		return err
	}
	f, err := s.disk.OpenReadWrite(path, fs.Unspecified)
	if err != nil {
		return err
	}
	at := s.r.IntN(len(b))
	_, err = f.WriteAt([]byte{b[at] ^ 1<<s.r.IntN(8)}, int64(at))
	return errors.Join(err, f.Close())
}

// TestCheckpoints runs random puts, checkpoints and retention beside the model, and takes the database away, or files
// of it, or of the checkpoint: as long as one of both is whole all rows come back.
func TestCheckpoints(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	runs := uint64(10)
	if s := os.Getenv("QUIVER_RUNS"); s != "" {
		var err error
		if runs, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for n := range runs {
		r := rand.New(rand.NewPCG(seed, n))
		t.Run(fmt.Sprint(n), func(t *testing.T) { runCheckpoints(newSaved(t, r)) })
	}
}

func runCheckpoints(s *saved) {
	s.t.Helper()
	for range 50 {
		switch s.r.IntN(14) {
		case 0, 1, 2:
			s.advance()
		case 3, 4:
			s.checkpoint()
		case 5:
			s.retain()
		case 6:
			s.restart(s.r.IntN(7))
		default:
			s.put()
		}
	}
	s.advance()
	s.check()
	s.close()
}

func (s *saved) restart(how int) {
	s.t.Helper()
	s.t.Logf("restart %d", how)
	next := s.disk
	if s.r.IntN(2) == 0 {
		next = s.disk.CrashClone(fs.CrashConfig{Rand: s.r, KeepUnsynced: s.r.IntN(101), TearSectors: true})
	}
	s.close()
	s.disk = next
	spoiled := false
	newest, err := s.dir.Newest()
	switch {
	case err != nil:
		s.t.Fatal(err)
	case how == 0:
		err = s.disk.RemoveAll("/data/kv")
	case how == 1:
		err = s.disk.RemoveAll("/data/kv/db")
	case how == 2 || how == 3:
		s.spoil("/data/kv/db", s.remove, s.truncate, s.flip)
	case how == 4 && newest != "":
		spoiled = s.spoil(newest, s.remove, s.truncate, s.flip)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	switch found := s.found(s.disk); {
	case how == 4 && newest != "" && spoiled && len(found) == 0:
		s.t.Fatal("the damaged checkpoint was not found")
	case (how < 2 || how > 4 || newest == "" && how == 4) && len(found) > 0:
		s.t.Fatalf("found where nothing is damaged: %v", found)
	}
	if !s.revive(s.disk) {
		s.t.Fatalf("the rows before %d are lost", s.start)
	}
	if how == 4 && newest != "" { // it may be damaged: nobody may count on it
		s.checkpoint()
	}
}

// cutter takes a clone of a file system, as a power cut leaves it, after one operation.
type cutter struct {
	mu    sync.Mutex
	mem   *fs.Mem
	r     *rand.Rand
	step  int
	at    int
	clone *fs.Mem
}

func (c *cutter) watch(op fs.Op, _ string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !op.Changes() {
		return
	}
	if c.step++; c.step == c.at {
		c.clone = c.mem.CrashClone(fs.CrashConfig{Rand: c.r, KeepUnsynced: c.r.IntN(101), TearSectors: true})
	}
}

// TestCheckpointPowerCuts cuts the power after every operation of making a checkpoint beside an older one, and of
// restoring one: with the database, and without it, the rows are those that the log goes on from.
func TestCheckpointPowerCuts(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newSaved(t, r)
	for _, then := range []func(){s.checkpoint, s.retain, func() {}} {
		for range 4 {
			s.put()
		}
		s.advance()
		then()
	}
	s.close()
	for _, lost := range []bool{false, true} { // at the start: then a checkpoint is restored
		stride := 3
		if os.Getenv("QUIVER_RUNS") != "" {
			stride = 1
		}
		steps := 1
		for at := 1 + r.IntN(stride); at <= max(steps, stride); at += stride {
			mem := s.disk.Clone()
			if lost {
				if err := mem.RemoveAll("/data/kv"); err != nil {
					t.Fatal(err)
				}
			}
			c := &cutter{mem: mem, r: r, at: at}
			err := checkpointOnce(fs.Record(mem, c.watch))
			if err != nil {
				t.Fatal(err)
			}
			steps = c.step
			if c.clone == nil {
				continue // fewer operations than the last time
			}
			for _, gone := range []bool{false, true} { // at the next start
				left := c.clone.Clone()
				if gone {
					if err := removeAll(left, "/data/kv"); err != nil {
						t.Fatal(err)
					}
				}
				// A power cut may undo a part of what the test itself removed: that is damage.
				if found := s.found(left); len(found) > 0 && (gone || !lost) {
					t.Fatalf("the power was cut after operation %d of %d, database lost before %t, after %t: found %v", at, steps, lost, gone, found)
				}
				if !s.revive(left) {
					t.Fatalf("the power was cut after operation %d of %d, database lost before %t, after %t: the rows are lost", at, steps, lost, gone)
				}
				s.close()
			}
		}
		t.Logf("%d operations", steps)
	}
}

// checkpointOnce opens a store, makes a checkpoint of it and closes it.
func checkpointOnce(fsys fs.FS) error {
	d, err := OpenDir(fsys, "/data/kv", Options{MemtableBytes: 64 << 10, CacheBytes: 1 << 20, Checkpoints: "/data/kv-checkpoint"})
	if err != nil {
		return err
	}
	s, err := d.Open()
	if err != nil {
		return errors.Join(err, d.Close())
	}
	return errors.Join(d.Checkpoint(s), s.Close(), d.Close())
}

// TestFailedCheckpoints has every operation of making a checkpoint fail: the store goes on, the checkpoint before still
// counts, and the next attempt succeeds.
func TestFailedCheckpoints(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := newSaved(t, rand.New(rand.NewPCG(seed, 0)))
	for range 20 {
		s.put()
	}
	s.advanceAll()
	s.checkpoint()
	s.retain()
	s.close()
	var mu sync.Mutex
	step, at := 0, 0
	broken := errors.New("broken")
	fsys := fs.WithErrors(s.disk, func(op fs.Op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if !op.Changes() || !strings.HasPrefix(name, "/data/kv-checkpoint") {
			return nil
		}
		if step++; step == at {
			return fmt.Errorf("%w: %s %s", broken, op, name)
		}
		return nil
	})
	s.dir, s.store, s.tablet = nil, nil, nil
	s.open(fsys, s.model.config)
	failures := 0
	for at = 1; ; at++ {
		step = 0
		s.put()
		s.advance()
		err := s.dir.Checkpoint(s.store)
		if err == nil && step < at {
			break
		}
		if err != nil {
			if !errors.Is(err, broken) {
				t.Fatal(err)
			}
			failures++
		}
		if failed := s.store.Failed(); failed != nil {
			t.Fatalf("the store failed with operation %d of a checkpoint: %v", at, failed)
		}
		s.check()
		c, err := s.dir.Saved()
		if err != nil {
			t.Fatalf("after operation %d failed the checkpoint before is: %v", at, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		at, step = at+1000, 0
		s.checkpoint()
		at -= 1000
	}
	if failures < 10 {
		t.Errorf("%d of %d operations failed a checkpoint", failures, at)
	}
	if _, older, err := s.dir.newest(); err != nil || len(older) > 0 {
		t.Errorf("checkpoints %v stay, %v", older, err)
	}
	s.close()
	if err := s.disk.RemoveAll("/data/kv"); err != nil {
		t.Fatal(err)
	}
	if !s.revive(s.disk) {
		t.Fatal("the rows are lost")
	}
	s.close()
}

// TestDamagedTables flips bits in tables that the database shares with its checkpoint: rows are right, or the bucket
// says that they are not there.
func TestDamagedTables(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newSaved(t, r)
	for range 30 {
		s.put()
	}
	s.advance()
	s.checkpoint()
	s.retain()
	s.put()
	s.advance()
	s.close()
	whole, lost := s.disk, 0
	for range 40 {
		s.disk = whole.Clone()
		if err := s.disk.RemoveAll("/data/kv"); err != nil {
			t.Fatal(err)
		}
		newest, err := s.dir.Newest()
		if err != nil {
			t.Fatal(err)
		}
		names, err := s.disk.List(newest)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		if err := s.flip(newest + "/" + names[r.IntN(len(names))]); err != nil {
			t.Fatal(err)
		}
		if !s.revive(s.disk) {
			lost++
		}
		s.close()
	}
	if lost == 0 || lost == 40 {
		t.Errorf("of 40 checkpoints with a wrong bit %d could not be used", lost)
	}
}

// TestRescueSparesOtherBuckets damages the rows of one bucket in database and checkpoint: those of the others come back.
func TestRescueSparesOtherBuckets(t *testing.T) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	config := Config{Schema: modelSchema(t)}
	config.Key = []quiver.ColumnID{idOf(config.Schema, "k1"), idOf(config.Schema, "k2")}
	b := &bucket{t: t, r: r}
	disk := fs.NewMem()
	b.open(disk, config)
	bucketOf := func(n int32) quiver.BucketID { return quiver.BucketID{Table: 7, Bucket: n} }
	const buckets, keys = 6, 400
	for n := range int32(buckets) {
		fillBucket(b, bucketOf(n), config, keys)
	}
	if err := b.dir.Checkpoint(b.store); err != nil {
		t.Fatal(err)
	}
	newest, err := b.dir.Newest()
	if err := errors.Join(err, b.store.Close(), b.dir.Close()); err != nil {
		t.Fatal(err)
	}
	damageTable(t, disk, newest)
	b.open(disk, config)
	for range 10 { // reads until the damage is met, which ends the store
		if _, err := readBuckets(b.store, buckets, bucketOf); err != nil {
			break
		}
	}
	if !b.store.Damaged() {
		t.Fatalf("the store is not damaged: %v", b.store.Failed())
	}
	failed := b.store
	if _, err := b.dir.MoveAside(); err != nil {
		t.Fatal(err)
	}
	if b.store, err = b.dir.Open(); err != nil {
		t.Fatal(err)
	}
	_ = failed.Close()
	good := 0
	for n := range int32(buckets) {
		ok, err := b.dir.Rescue(t.Context(), b.store, bucketOf(n), func(m Mark) bool { return m.Applied == keys })
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		good++
		if rows := b.store.engine.countRows(bucketOf(n)); rows != keys {
			t.Errorf("bucket %d has %d rows", n, rows)
		}
	}
	if good == 0 || good == buckets {
		t.Errorf("%d of %d buckets came back", good, buckets)
	}
	if err := errors.Join(b.store.Close(), b.dir.Close()); err != nil {
		t.Fatal(err)
	}
}

// fillBucket puts rows of about 200 bytes into a bucket.
func fillBucket(b *bucket, id quiver.BucketID, c Config, keys int) {
	b.t.Helper()
	tablet, err := b.store.Tablet(id, c)
	if err != nil {
		b.t.Fatal(err)
	}
	rows := make([]fields, keys)
	for i := range rows {
		rows[i] = fields{"k1": i, "k2": "key", "text": fmt.Sprintf("%0200d", b.r.Uint64())}
	}
	change, err := tablet.Prepare(&Rows{Len: keys, Columns: batchOf(b.t, c.Schema, rows, []string{"k1", "k2", "text"})}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	tablet.Stage(change, 0)
	if err := errors.Join(tablet.Advance(quiver.Offset(keys), 1), b.store.Flush()); err != nil {
		b.t.Fatal(err)
	}
}

func readBuckets(s *Store, n int32, id func(int32) quiver.BucketID) (int64, error) {
	total := int64(0)
	for i := range n {
		total += s.engine.countRows(id(i))
	}
	return total, s.Failed()
}

// damageTable changes a byte in the middle of the largest table of a directory.
func damageTable(t *testing.T, disk *fs.Mem, dir string) {
	t.Helper()
	names, err := disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var largest string
	var size int64
	for _, name := range names {
		info, err := disk.Stat(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, tableSuffix) && info.Size() > size {
			largest, size = dir+"/"+name, info.Size()
		}
	}
	f, err := disk.OpenReadWrite(largest, fs.Unspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), size/2); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestHeld counts what only the checkpoint keeps on the disk.
func TestHeld(t *testing.T) {
	b := &bucket{t: t, r: rand.New(rand.NewPCG(1, 1))}
	config := Config{Schema: modelSchema(t)}
	config.Key = []quiver.ColumnID{idOf(config.Schema, "k1"), idOf(config.Schema, "k2")}
	b.open(fs.NewMem(), config)
	if held, total, err := b.dir.Held(); held != 0 || total != 0 || err != nil {
		t.Errorf("without a checkpoint: %d of %d, %v", held, total, err)
	}
	fillBucket(b, testBucket, config, 400)
	if err := b.dir.Checkpoint(b.store); err != nil {
		t.Fatal(err)
	}
	if held, total, err := b.dir.Held(); held > total || total < 10_000 || err != nil { // compactions may hold some already
		t.Errorf("with a new checkpoint: %d of %d, %v", held, total, err)
	}
	c, err := b.dir.Saved()
	if err != nil {
		t.Fatal(err)
	}
	has, err := c.HasTable(testBucket.Table)
	other, err2 := c.HasPartition(quiver.PartitionRef{Table: testBucket.Table, Partition: 99})
	if err := errors.Join(err, err2, c.Close()); err != nil || !has || other {
		t.Errorf("the checkpoint has the table: %t, another partition: %t, %v", has, other, err)
	}
	if err := b.store.DropTable(context.Background(), testBucket.Table); err != nil {
		t.Fatal(err)
	}
	// What the dropped table shared with others is written anew.
	if err := errors.Join(b.store.stampWith(9), b.store.engine.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Close(); err != nil { // tables that are not needed are removed by then
		t.Fatal(err)
	}
	if held, total, err := b.dir.Held(); held < 10_000 || held > total || err != nil {
		t.Errorf("with the table dropped: %d of %d, %v", held, total, err)
	}
	if err := b.dir.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskMovesNothing: an error that is none of the database leaves it where it is.
func TestFullDiskMovesNothing(t *testing.T) {
	disk := fs.NewMem()
	if err := checkpointOnce(disk); err != nil {
		t.Fatal(err)
	}
	full := fs.WithErrors(disk, func(op fs.Op, name string) error {
		if op == fs.OpWrite && strings.HasPrefix(name, "/data/kv/db") {
			return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
		}
		return nil
	})
	if err := checkpointOnce(full); !passing(err) {
		t.Fatalf("on a full disk: %v", err)
	}
	if _, err := disk.Stat("/data/kv/damaged-1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the database was moved: %v", err)
	}
	if err := checkpointOnce(disk); err != nil {
		t.Error(err)
	}
}

// FuzzSeal reads seals, and what it reads it writes again.
func FuzzSeal(f *testing.F) {
	good := &seal{number: 17, files: []sealedFile{{"000012.sst", 40961, 0}, {"MANIFEST-000010", 523, 0x5f0c44e1}}}
	f.Add(good.encode())
	f.Add((&seal{number: 1}).encode())
	f.Add([]byte(sealHead + "\n0\n00000000\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSeal(b)
		if err != nil {
			if !errors.Is(err, errSeal) {
				t.Error(err)
			}
			return
		}
		again, err := parseSeal(s.encode())
		if err != nil || again.number != s.number || !slices.Equal(again.files, s.files) {
			t.Errorf("%+v is read back as %+v, %v", s, again, err)
		}
	})
}
