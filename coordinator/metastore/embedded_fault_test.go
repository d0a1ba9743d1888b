//go:build fault

package metastore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// breaker fails operations of a file system that change it: the nth from its arming, and the following ones too if it
// stays broken.
type breaker struct {
	left  atomic.Int64 // operations until the failure; 0 or less: disarmed or past it
	stays bool
	armed atomic.Bool
	hit   atomic.Bool
}

func (b *breaker) arm(n int64, stays bool) {
	b.stays = stays
	b.left.Store(n)
	b.armed.Store(true)
}

func (b *breaker) disarm() { b.armed.Store(false) }

func (b *breaker) fail(op fs.Op, _ string) error {
	if !op.Changes() || op == fs.OpLock || !b.armed.Load() {
		return nil
	}
	if left := b.left.Add(-1); left == 0 || left < 0 && b.stays {
		b.hit.Store(true)
		return syscall.EIO
	}
	return nil
}

// TestEveryWriteFails fails each single operation that changes the disk, once and for good. No outcome may be wrong,
// nothing may hang or panic, and once the disk works again the same store works again and unknown outcomes settle.
func TestEveryWriteFails(t *testing.T) {
	for _, stays := range []bool{false, true} {
		for n, reached := int64(1), true; reached; n++ {
			t.Run(fmt.Sprintf("op=%d,stays=%v", n, stays), func(t *testing.T) { reached = failOneWrite(t, n, stays) })
		}
	}
}

func failOneWrite(t *testing.T, n int64, stays bool) (reached bool) {
	b := &breaker{}
	mem := fs.NewMem()
	fsys := fs.WithErrors(mem, b.fail)
	model := NewMemory()
	b.arm(n, stays)
	s, err := OpenEmbedded(fsys, "/meta", EmbeddedOptions{memtable: 64 << 10})
	if err != nil {
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("open: %v", err)
		}
		b.disarm()
		s = openEmbedded(t, fsys, "/meta")
	}
	defer func() { _ = s.Close() }()
	for _, txn := range bulky() {
		got, err := s.Commit(context.Background(), txn)
		switch {
		case got.Outcome == Done:
		case !errors.Is(err, syscall.EIO):
			t.Fatalf("commit: %+v, %v", got, err)
		case got.Outcome == Unknown:
			b.disarm()
			if got, err = s.Commit(context.Background(), txn); err != nil {
				t.Fatalf("an unknown outcome does not settle: %+v, %v", got, err)
			}
		default:
			expect(t, dumpAgain(t, s, b), dump(t, model, ""))
			if got, err = s.Commit(context.Background(), txn); err != nil || got.Repeated {
				t.Fatalf("what was not done is %+v, %v", got, err)
			}
		}
		want, _ := model.Commit(context.Background(), txn)
		if got.Version != want.Version {
			t.Fatalf("version = %d, want %d", got.Version, want.Version)
		}
		if !stays {
			expect(t, dump(t, s, ""), dump(t, model, ""))
		}
	}
	hit := b.hit.Load()
	expect(t, dumpAgain(t, s, b), dump(t, model, ""))
	// What was answered survives the machine, also what was only read back after a failed sync.
	expect(t, dump(t, openEmbedded(t, mem.CrashClone(fs.CrashConfig{}), "/meta"), ""), dump(t, model, ""))
	_ = s.Close()
	expect(t, dump(t, openEmbedded(t, mem, "/meta"), ""), dump(t, model, ""))
	return hit
}

// dumpAgain dumps with the disk repaired.
func dumpAgain(t *testing.T, s Store, b *breaker) string {
	t.Helper()
	b.disarm()
	return dump(t, s, "")
}

// TestFailedTellsUntilItHeals shows the store's state while the disk is broken.
func TestFailedTellsUntilItHeals(t *testing.T) {
	b := &breaker{}
	s := openEmbedded(t, fs.WithErrors(fs.NewMem(), b.fail), "/meta")
	first := put("a")
	b.arm(1, true)
	if r, err := s.Commit(context.Background(), first); r.Outcome != Unknown || !errors.Is(err, syscall.EIO) {
		t.Fatalf("commit = %+v, %v", r, err)
	}
	if err := s.Failed(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("failed = %v", err)
	}
	if r, err := s.Commit(context.Background(), put("b")); r.Outcome != NotDone || !errors.Is(err, syscall.EIO) {
		t.Fatalf("commit = %+v, %v", r, err)
	}
	if _, _, err := s.Get(context.Background(), "a"); !errors.Is(err, syscall.EIO) {
		t.Fatalf("get: %v", err)
	}
	b.disarm()
	if r, err := s.Commit(context.Background(), first); err != nil || r.Outcome != Done {
		t.Fatalf("commit = %+v, %v", r, err)
	}
	if err := s.Failed(); err != nil {
		t.Fatal(err)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openEmbedded(t, fs.Disk(), dir)
	if _, err := OpenEmbedded(fs.Disk(), dir, EmbeddedOptions{}); err == nil {
		t.Fatal("a directory that is in use was opened")
	}
	commit(t, s, put("a"))
}

// TestDamage flips bytes in every file of a store. Opening and reading may fail, but never end the process, and never
// show anything but what was there after some commit.
func TestDamage(t *testing.T) {
	pristine := fs.NewMem()
	s := openEmbedded(t, pristine, "/meta")
	var possible []string // what may be found: a damaged end of the log cannot be told from a torn one
	for i, txn := range bulky() {
		commit(t, s, txn)
		if i > 0 {
			possible = append(possible, dump(t, s, "only-"))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := pristine.List("/meta")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := pristine.Stat("/meta/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(8) {
			if at := info.Size() * i / 8; at < info.Size() {
				damage(t, pristine, name, at, possible)
			}
		}
	}
}

func damage(t *testing.T, pristine *fs.Mem, name string, at int64, possible []string) {
	t.Helper()
	fsys := pristine.Clone()
	f, err := fsys.OpenReadWrite("/meta/"+name, fs.Unspecified)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, _ = f.ReadAt(b[:], at)
	b[0] ^= 0x55
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	s, err := OpenEmbedded(fsys, "/meta", EmbeddedOptions{memtable: 64 << 10})
	if err != nil {
		return
	}
	defer func() { _ = s.Close() }()
	got := ""
	version, err := s.Range(context.Background(), "only-", func(e Entry) error {
		got += fmt.Sprintf("%s@%d=%s\n", e.Key, e.Version, e.Value)
		return nil
	})
	got += fmt.Sprintf("version %d", version)
	if err == nil && !contains(possible, got) {
		t.Errorf("byte %d of %s was flipped unseen:\n%s\nwant one of:\n%s", at, name, got, strings.Join(possible, "\n"))
	}
}

// TestLossOfEverything: a store without a commit is new only if it never had one.
func TestLossOfEverything(t *testing.T) {
	fsys := fs.NewMem()
	s := openEmbedded(t, fsys, "/meta")
	commit(t, s, put("a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := fsys.List("/meta")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name != begun {
			if err := fsys.Remove("/meta/" + name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		if _, err := OpenEmbedded(fsys, "/meta", EmbeddedOptions{}); !errors.Is(err, ErrDamaged) {
			t.Fatalf("open: %v", err)
		}
	}
}

// TestFaultPoints fails at each named place.
func TestFaultPoints(t *testing.T) {
	broken := errors.New("broken")
	for point, want := range map[string]Outcome{
		"metastore.commit.before-write": NotDone,
		"metastore.commit.after-sync":   Unknown,
	} {
		s := openEmbedded(t, fs.NewMem(), "/meta")
		txn := put("a")
		disarm := fault.Arm(point, func() error { return broken })
		r, err := s.Commit(context.Background(), txn)
		disarm()
		if !errors.Is(err, broken) || r.Outcome != want {
			t.Errorf("%s: %+v, %v", point, r, err)
		}
		r, err = s.Commit(context.Background(), txn)
		if err != nil || r.Repeated != (want == Unknown) {
			t.Errorf("%s: then %+v, %v", point, r, err)
		}
	}
	defer fault.Arm("metastore.open.before", func() error { return broken })()
	if _, err := OpenEmbedded(fs.NewMem(), "/meta", EmbeddedOptions{}); !errors.Is(err, broken) {
		t.Errorf("open: %v", err)
	}
}
