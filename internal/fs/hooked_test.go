package fs

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestFailedSyncIsNeverMadeGood(t *testing.T) {
	m := NewMem()
	failing := false
	fsys := WithErrors(m, func(op Op, name string) error {
		if failing && op == OpSync && name == "/f" {
			return syscall.EIO
		}
		return nil
	})
	f := mustCreate(t, fsys, "/f")
	defer f.Close()
	must(t, SyncDir(fsys, "/"))
	data := strings.Repeat("x", 100*SectorSize)
	mustWriteAt(t, f, data, 0)
	failing = true
	if err := f.SyncData(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the failed sync gave %v", err)
	}
	failing = false
	if content(t, m, "/f") != data {
		t.Error("the file reads differently after the failed sync")
	}
	must(t, f.SyncData())
	if got := content(t, m.CrashClone(total), "/f"); got == data {
		t.Error("a second sync made good what the first had lost")
	}
	mustWriteAt(t, f, "y", int64(len(data)))
	must(t, m.Truncate("/f", int64(len(data))))
	must(t, f.SyncData())
	if got := content(t, m.CrashClone(total), "/f"); len(got) != len(data) {
		t.Errorf("%d bytes survive, the size was synced later", len(got))
	}
}

func TestHooksSeeEveryOperation(t *testing.T) {
	m := NewMem()
	var log []string
	fsys := Record(m, func(op Op, name string) { log = append(log, op.String()+" "+name) })
	must(t, fsys.MkdirAll("/d", 0o755))
	f := mustCreate(t, fsys, "/d/f")
	mustWriteAt(t, f, "x", 0)
	must(t, WriteVector(f, [][]byte{{1}, {2}}, 1))
	must(t, Allocate(f, 0, 10))
	must(t, f.Preallocate(0, 10))
	must(t, f.SyncData())
	_, err := f.SyncTo(1)
	must(t, err)
	_, err = f.Read(make([]byte, 1))
	must(t, err)
	_, err = f.Stat()
	must(t, err)
	must(t, f.Close())
	must(t, fsys.Link("/d/f", "/d/g"))
	must(t, fsys.Rename("/d/g", "/d/h"))
	f, err = fsys.ReuseForWrite("/d/h", "/d/i", Unspecified)
	must(t, err)
	must(t, f.Close())
	f, err = fsys.OpenReadWrite("/d/new", Unspecified)
	must(t, err)
	must(t, f.Close())
	must(t, fsys.Truncate("/d/f", 3))
	must(t, SyncDir(fsys, "/d"))
	l, err := fsys.Lock("/d/l")
	must(t, err)
	must(t, l.Close())
	_, err = fsys.List("/d")
	must(t, err)
	_, err = fsys.GetDiskUsage("/d")
	must(t, err)
	must(t, fsys.Remove("/d/f"))
	must(t, fsys.RemoveAll("/d"))
	if _, err := fsys.Open("/d"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	want := `mkdir /d;create /d/f;write /d/f;write /d/f;allocate /d/f;allocate /d/f;sync /d/f;sync /d/f;read /d/f;stat /d/f;close /d/f;
link /d/g;rename /d/h;rename /d/i;close /d/i;create /d/new;close /d/new;truncate /d/f;open /d;sync-dir /d;close /d;
lock /d/l;list /d;usage /d;remove /d/f;remove-all /d;open /d`
	if got := strings.Join(log, ";"); got != strings.ReplaceAll(want, "\n", "") {
		t.Errorf("seen:\n%s", got)
	}
	if fsys.Unwrap() != FS(m) {
		t.Error("the wrapped file system is another one")
	}
}
