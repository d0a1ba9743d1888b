//go:build fault

package fs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quiverlog/quiver/internal/fault"
)

// ordering is a disk and the file of its orders.
type ordering struct {
	FS
	t    *testing.T
	dir  string // of data
	path string // of orders
}

func newOrdering(t *testing.T) *ordering {
	t.Helper()
	dir := t.TempDir()
	o := &ordering{t: t, dir: filepath.Join(dir, "data"), path: filepath.Join(dir, "orders")}
	t.Setenv(fault.DiskVariable, o.path)
	o.FS = Ordered()
	must(t, MakeDirs(o, o.dir))
	return o
}

// order gives orders, each with the path of the data behind it.
func (o *ordering) order(lines ...string) {
	o.t.Helper()
	for i := range lines {
		lines[i] += " " + o.dir
	}
	must(o.t, os.WriteFile(o.path, []byte(strings.Join(lines, "\n")), 0o644))
}

func (o *ordering) done() string {
	text, err := os.ReadFile(o.path + fault.DoneSuffix)
	must(o.t, err)
	return strings.ReplaceAll(string(text), o.dir+"/", "")
}

func TestOrderedIsOnlyThereIfAskedFor(t *testing.T) {
	t.Setenv(fault.DiskVariable, "")
	if Ordered() != nil {
		t.Error("no file of orders was named")
	}
}

// TestOrderedSync fails the second sync: what the first one made durable stays, what the second one should have is lost,
// and a third one does not bring it back.
func TestOrderedSync(t *testing.T) {
	o := newOrdering(t)
	f := mustCreate(t, o, filepath.Join(o.dir, "f"))
	defer f.Close()
	o.order("sync=error@2")
	mustWriteAt(t, f, "first second", 0)
	must(t, f.SyncData())
	mustWriteAt(t, f, "changed", 6)
	must(t, WriteVector(f, [][]byte{[]byte(" and"), []byte(" more")}, 13))
	if err := f.SyncData(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the second sync gave %v", err)
	}
	must(t, f.SyncData())
	if got, want := strings.TrimRight(content(t, Disk(), filepath.Join(o.dir, "f")), "\x00"), "first second"; got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
	if got := o.done(); got != "sync=error f\n" {
		t.Errorf("noted is %q", got)
	}
}

// TestOrderedWriteOn loses what was written one after the other, too.
func TestOrderedWriteOn(t *testing.T) {
	o := newOrdering(t)
	f := mustCreate(t, o, filepath.Join(o.dir, "f"))
	defer f.Close()
	for _, text := range []string{"one ", "two ", "three "} {
		if text == "three " {
			must(t, f.Sync())
			o.order("sync=error@1")
		}
		_, err := f.Write([]byte(text))
		must(t, err)
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the sync gave %v", err)
	}
	if got := strings.TrimRight(content(t, Disk(), filepath.Join(o.dir, "f")), "\x00"); got != "one two " {
		t.Errorf("the file holds %q", got)
	}
}

func TestOrderedFull(t *testing.T) {
	o := newOrdering(t)
	f := mustCreate(t, o, filepath.Join(o.dir, "f"))
	defer f.Close()
	o.order("write=full", "usage=full")
	_, err := f.WriteAt([]byte("x"), 0)
	_, created := o.Create(filepath.Join(o.dir, "g"), Unspecified)
	for what, err := range map[string]error{"write": err, "allocate": Allocate(f, 0, 10), "create": created} {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s gave %v", what, err)
		}
	}
	if free, err := Free(o, o.dir); free != 0 || err != nil {
		t.Errorf("%d bytes are free, %v", free, err)
	}
	must(t, f.Sync())
	must(t, os.Remove(o.path))
	mustWriteAt(t, f, "x", 0)
	if free, err := Free(o, o.dir); free == 0 || err != nil {
		t.Errorf("%d bytes are free once the order is gone, %v", free, err)
	}
}

func TestOrderedSlowAndFailingWrite(t *testing.T) {
	o := newOrdering(t)
	f := mustCreate(t, o, filepath.Join(o.dir, "f"))
	defer f.Close()
	o.order("sync=slow@20ms", "write=error@1")
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("the first write gave %v", err)
	}
	mustWriteAt(t, f, "x", 0)
	began := time.Now()
	must(t, f.Sync())
	if took := time.Since(began); took < 20*time.Millisecond {
		t.Errorf("a slow sync took %v", took)
	}
	if got := o.done(); got != "write=error f\nsync=slow f\n" {
		t.Errorf("noted is %q", got)
	}
}

func TestWrongOrdersAreRefused(t *testing.T) {
	for _, line := range []string{"sync=error@0 /d", "sync=error /d", "sync=slow@soon /d", "write=slow@1s /d", "read=full /d", "write=full", "nonsense"} {
		if o, err := orderOf(line); err == nil {
			t.Errorf("%q was taken as %+v", line, o)
		}
	}
}
