package fs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
)

func TestFullDisk(t *testing.T) {
	m := NewMem()
	m.SetCapacity(1000)
	f := mustCreate(t, m, "/f")
	n, err := f.Write(make([]byte, 1500))
	if n != 1000 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("wrote %d of 1500 bytes to a disk of 1000: %v", n, err)
	}
	mustWriteAt(t, f, "over what is there", 500)
	if _, err := f.WriteAt([]byte("x"), 1000); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("one byte too much: %v", err)
	}
	if err := WriteFile(m, "/g", []byte("x")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a second file: %v", err)
	}
	if got := content(t, m, "/g.tmp"); got != "-" {
		t.Error("the failed write left its temporary file")
	}
	must(t, m.Truncate("/f", 600))
	if free, err := Free(m, "/"); err != nil || free != 400 {
		t.Errorf("%d bytes are free: %v", free, err)
	}
	must(t, f.Preallocate(0, 900))
	if err := Allocate(f, 0, 1001); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("allocated more than there is: %v", err)
	}
	if info, err := m.Stat("/f"); err != nil || info.Size() != 600 {
		t.Errorf("the size is %d, %v", info.Size(), err)
	}
	must(t, m.Remove("/f"))
	if free, _ := Free(m, "/"); free != 100 {
		t.Errorf("a removed file that is open gave its space back: %d", free)
	}
	must(t, f.Close())
	if free, _ := Free(m, "/"); free != 1000 {
		t.Errorf("%d bytes are free in the end", free)
	}
	if c := m.CrashClone(total); c.capacity != 1000 {
		t.Error("the clone has another capacity")
	}
}

func TestListHasNoUsefulOrder(t *testing.T) {
	m := NewMem()
	var names []string
	for i := range 20 {
		name := fmt.Sprintf("%020d.arrows", i*1000)
		names = append(names, name)
		must(t, mustCreate(t, m, name).Close())
	}
	got, err := m.List("/")
	must(t, err)
	if slices.IsSorted(got) {
		t.Error("the list is sorted: callers that need it so would pass here and fail on a disk")
	}
	slices.Sort(got)
	if !slices.Equal(got, names) {
		t.Errorf("the names are %q", got)
	}
}

func TestMemIsSafeForConcurrentUse(t *testing.T) {
	m := NewMem()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			name := fmt.Sprintf("/%d", g)
			for i := range 100 {
				f, err := m.OpenReadWrite(name, Unspecified)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = f.WriteAt(make([]byte, 600), int64(i)*100)
				err = errors.Join(err, f.Sync(), SyncDir(m, "/"), f.Close())
				if err != nil {
					t.Error(err)
				}
				m.CrashClone(CrashConfig{Rand: rand.New(rand.NewPCG(1, uint64(i))), KeepUnsynced: 50, TearSectors: true})
				if _, err := m.List("/"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestLinksStayOneFile(t *testing.T) {
	m := NewMem()
	must(t, WriteFile(m, "/a", []byte("abc")))
	must(t, m.Link("/a", "/b"))
	must(t, SyncDir(m, "/"))
	for _, c := range []*Mem{m.Clone(), m.CrashClone(total)} {
		must(t, c.Truncate("/a", 1))
		if got := content(t, c, "/b"); got != "a" {
			t.Errorf("cut under one name, the file holds %q under the other", got)
		}
		checkUsed(t, c)
	}
}
