package fs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// lossless and total are the two crashes that leave nothing to chance.
var (
	lossless = CrashConfig{KeepUnsynced: 100}
	total    = CrashConfig{}
)

func TestOnlySyncedDataSurvives(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "/f")
	defer f.Close()
	mustWriteAt(t, f, "durable", 0)
	must(t, f.SyncData())
	must(t, SyncDir(m, "/"))
	mustWriteAt(t, f, "DURABLE and more", 0)
	if full, err := f.SyncTo(100); full || err != nil {
		t.Errorf("SyncTo promises %v, %v", full, err)
	}
	for want, crashed := range map[string]*Mem{
		"durable":          m.CrashClone(total),
		"DURABLE and more": m.CrashClone(lossless),
	} {
		if got := content(t, crashed, "/f"); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
	killed := m.Clone()
	if got := content(t, killed, "/f"); got != "DURABLE and more" {
		t.Errorf("after kill -9: %q", got)
	}
	if got := content(t, killed.CrashClone(total), "/f"); got != "durable" {
		t.Errorf("after kill -9 and a crash: %q", got)
	}
	g, err := killed.Open("/f")
	must(t, err)
	defer g.Close()
	must(t, g.Sync()) // whoever restarts can make durable what the killed one wrote
	if got := content(t, killed.CrashClone(total), "/f"); got != "DURABLE and more" {
		t.Errorf("synced after kill -9: %q", got)
	}
	if got := content(t, m.CrashClone(total), "/f"); got != "durable" {
		t.Errorf("the clone's sync reached the original: %q", got)
	}
}

func TestEntriesNeedTheirDirectorySynced(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("/d", 0o755))
	must(t, SyncDir(m, "/"))
	must(t, WriteFile(m, "/d/old", []byte("o")))
	f := mustCreate(t, m, "/d/new")
	must(t, f.Sync())
	must(t, f.Close())
	must(t, m.Rename("/d/old", "/d/renamed"))
	must(t, m.MkdirAll("/e/deep", 0o755))
	must(t, SyncDir(m, "/e")) // its parent is not
	look := func(c *Mem) string {
		var all []string
		for _, name := range []string{"/d/old", "/d/new", "/d/renamed", "/e/deep"} {
			if _, err := c.Stat(name); err == nil {
				all = append(all, name)
			}
		}
		return strings.Join(all, " ")
	}
	if got := look(m.CrashClone(total)); got != "/d/old" {
		t.Errorf("without a sync: %s", got)
	}
	if got, want := look(m.CrashClone(lossless)), "/d/new /d/renamed /e/deep"; got != want {
		t.Errorf("with luck: %s, want %s", got, want)
	}
	must(t, SyncDir(m, "/d"))
	if got, want := look(m.CrashClone(total)), "/d/new /d/renamed"; got != want {
		t.Errorf("with a sync: %s, want %s", got, want)
	}
	must(t, SyncDir(m, "/"))
	if got, want := look(m.CrashClone(total)), "/d/new /d/renamed /e/deep"; got != want {
		t.Errorf("with all syncs: %s, want %s", got, want)
	}
}

// TestEntriesAreIndependent collects what crashes leave of a rename, a create, a remove, and a replaced file.
func TestEntriesAreIndependent(t *testing.T) {
	rng := newRand(t)
	m := NewMem()
	for _, name := range []string{"/a", "/r", "/x"} {
		must(t, WriteFile(m, name, []byte(name)))
	}
	must(t, m.Rename("/a", "/b"))
	must(t, mustCreate(t, m, "/c").Close())
	must(t, m.Remove("/r"))
	must(t, mustCreate(t, m, "/x").Close())
	must(t, m.Rename("/x", "/y"))
	seen := map[string]int{}
	for range 4000 {
		c := m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 50, TearEntries: true})
		names, err := c.List("/")
		must(t, err)
		slices.Sort(names)
		seen[strings.Join(names, "")]++
		if got := content(t, c, "/y"); got != "-" && got != "" {
			t.Fatalf("y holds %q: the file before the last of that name", got)
		}
	}
	var want []string
	for _, ab := range []string{"a", "b"} {
		for _, c := range []string{"", "c"} {
			for _, r := range []string{"", "r"} {
				for _, x := range []string{"", "x", "y"} {
					want = append(want, ab+c+r+x)
				}
			}
		}
	}
	for _, state := range want {
		if seen[state] == 0 {
			t.Errorf("state %q was never found", state)
		}
		delete(seen, state)
	}
	if len(seen) > 0 {
		t.Errorf("impossible states were found: %v", seen)
	}
}

// TestEntriesInOrder collects what crashes leave of a journaling file system's directories.
func TestEntriesInOrder(t *testing.T) {
	rng := newRand(t)
	m := NewMem()
	must(t, MakeDirs(m, "/d"))
	must(t, MakeDirs(m, "/e"))
	for _, name := range []string{"/d/1", "/e/1", "/d/2", "/d/3", "/e/2"} {
		must(t, mustCreate(t, m, name).Close())
	}
	must(t, m.Rename("/d/3", "/d/4"))
	seen := map[string]int{}
	for range 2000 {
		c := m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 30})
		state := ""
		for _, dir := range []string{"/d", "/e"} {
			names, err := c.List(dir)
			must(t, err)
			slices.Sort(names)
			state += dir + strings.Join(names, "")
		}
		seen[state]++
	}
	for _, d := range []string{"", "1", "12", "123", "124"} {
		for _, e := range []string{"", "1", "12"} {
			state := "/d" + d + "/e" + e
			if seen[state] == 0 {
				t.Errorf("state %s was never found", state)
			}
			delete(seen, state)
		}
	}
	if len(seen) > 0 {
		t.Errorf("impossible states were found: %v", seen)
	}
}

func TestRenameBetweenDirectoriesIsOneStep(t *testing.T) {
	rng := newRand(t)
	for sync, want := range map[string]map[string]bool{
		"":   {"old -": true, "- old": true},
		"/d": {"- old": true},
		"/e": {"- old": true},
	} {
		m := NewMem()
		must(t, MakeDirs(m, "/d"))
		must(t, MakeDirs(m, "/e"))
		must(t, WriteFile(m, "/d/f", []byte("old")))
		must(t, m.Rename("/d/f", "/e/g"))
		if sync != "" {
			must(t, SyncDir(m, sync))
		}
		seen := map[string]bool{}
		for range 100 {
			c := m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 50, TearEntries: rng.IntN(2) == 0})
			seen[content(t, c, "/d/f")+" "+content(t, c, "/e/g")] = true
		}
		if !maps.Equal(seen, want) {
			t.Errorf("after a sync of %q: %v, want %v", sync, seen, want)
		}
	}
}

// TestSectorsTearOnTheirOwn collects every state of four sectors that were written over, one of them twice.
func TestSectorsTearOnTheirOwn(t *testing.T) {
	rng := newRand(t)
	m := NewMem()
	must(t, WriteFile(m, "/f", bytes.Repeat([]byte("0"), 4*SectorSize)))
	f, err := m.OpenReadWrite("/f", Unspecified)
	must(t, err)
	defer f.Close()
	mustWriteAt(t, f, strings.Repeat("1", 4*SectorSize), 0)
	mustWriteAt(t, f, strings.Repeat("2", SectorSize), SectorSize)
	seen := map[string]int{}
	for range 4000 {
		got := content(t, m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 50, TearSectors: true}), "/f")
		state := ""
		for s := range 4 {
			sector := got[s*SectorSize : (s+1)*SectorSize]
			if sector != strings.Repeat(sector[:1], SectorSize) {
				t.Fatalf("sector %d is torn inside", s)
			}
			state += sector[:1]
		}
		seen[state]++
	}
	if len(seen) != 2*3*2*2 {
		t.Errorf("%d states were found, want 24: %v", len(seen), seen)
	}
	whole := map[string]int{}
	for range 1000 {
		got := content(t, m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 50}), "/f")
		whole[fmt.Sprint(strings.Count(got, "0"), strings.Count(got, "1"), strings.Count(got, "2"))]++
	}
	if len(whole) != 3 || whole["2048 0 0"] == 0 || whole["0 2048 0"] == 0 || whole["0 1536 512"] == 0 {
		t.Errorf("without tearing: %v", whole)
	}
}

// TestPrefixWrittenLastMayMissAlone is the group write of the logs: a record whose first 8 bytes follow in a second write.
func TestPrefixWrittenLastMayMissAlone(t *testing.T) {
	rng := newRand(t)
	m := NewMem()
	must(t, WriteFile(m, "/f", make([]byte, 4096)))
	f, err := m.OpenReadWrite("/f", Unspecified)
	must(t, err)
	defer f.Close()
	mustWriteAt(t, f, strings.Repeat("x", 504), 8)
	mustWriteAt(t, f, "prefix!!", 0)
	seen := map[string]bool{}
	for range 200 {
		got := content(t, m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 50, TearSectors: true}), "/f")
		seen[got[:9]] = true
	}
	zeros := strings.Repeat("\x00", 8)
	if len(seen) != 3 || !seen[zeros+"\x00"] || !seen[zeros+"x"] || !seen["prefix!!x"] {
		t.Errorf("found %v", seen)
	}
}

func TestUnsyncedSizesMayBeFoundAnywhereBetween(t *testing.T) {
	rng := newRand(t)
	m := NewMem()
	must(t, WriteFile(m, "/f", bytes.Repeat([]byte("o"), 1000)))
	f, err := m.OpenReadWrite("/f", Unspecified)
	must(t, err)
	defer f.Close()
	mustWriteAt(t, f, strings.Repeat("n", 2000), 1000)
	var none, partly, all, zeros int
	for range 1000 {
		got := content(t, m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 50, TearSectors: true}), "/f")
		switch {
		case len(got) < 1000 || len(got) > 3000 || got[:1000] != strings.Repeat("o", 1000):
			t.Fatalf("%d bytes, what was durable is damaged", len(got))
		case strings.Trim(got[1000:], "n\x00") != "":
			t.Fatal("bytes that nobody wrote")
		case len(got) == 1000:
			none++
		case len(got) == 3000:
			all++
		default:
			partly++
		}
		if strings.Contains(got, "\x00") {
			zeros++
		}
	}
	if none == 0 || partly == 0 || all == 0 || zeros == 0 {
		t.Errorf("old size %d times, new %d, between %d, with zeros %d", none, all, partly, zeros)
	}
	must(t, f.SyncData())
	if got := content(t, m.CrashClone(total), "/f"); len(got) != 3000 {
		t.Errorf("after SyncData the size is %d", len(got))
	}
}

func TestCutsKeepTheirOrder(t *testing.T) {
	rng := newRand(t)
	m := NewMem()
	must(t, WriteFile(m, "/f", bytes.Repeat([]byte("o"), 2048)))
	f, err := m.OpenReadWrite("/f", Unspecified)
	must(t, err)
	defer f.Close()
	must(t, m.Truncate("/f", 512))
	mustWriteAt(t, f, strings.Repeat("n", 1536), 512)
	sizes := map[int]int{}
	for range 1000 {
		got := content(t, m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 50, TearSectors: true}), "/f")
		sizes[len(got)]++
		if strings.ContainsRune(got, 'n') && strings.ContainsRune(got[512:], 'o') {
			t.Fatal("the cut was lost, but what was written behind it is there")
		}
	}
	if sizes[512] == 0 || sizes[2048] == 0 || len(sizes) < 10 {
		t.Errorf("sizes found: %v", sizes)
	}
}

// TestCrashesAgreeWithAModel runs random edits and syncs and checks every crash against all versions that every
// byte ever had since it was durable.
func TestCrashesAgreeWithAModel(t *testing.T) {
	rng := newRand(t)
	for range 60 {
		m := NewMem()
		f := mustCreate(t, m, "/f")
		must(t, SyncDir(m, "/"))
		var model byteModel
		for range 40 {
			off, n := rng.IntN(3000), rng.IntN(1500)
			switch rng.IntN(6) {
			case 0:
				must(t, m.Truncate("/f", int64(off)))
				model.resize(off)
			case 1:
				must(t, f.Sync())
				model.sync()
			case 2:
				must(t, Allocate(f, 0, int64(off)))
				model.resize(max(off, len(model.now)))
			default:
				c := byte(1 + rng.IntN(250))
				must(t, WriteVector(f, [][]byte{bytes.Repeat([]byte{c}, n), {c}}, int64(off)))
				model.write(off, n+1, c)
			}
			if got := content(t, m.CrashClone(lossless), "/f"); got != string(model.now) {
				t.Fatal("a crash that loses nothing lost something")
			}
			if got := content(t, m.CrashClone(total), "/f"); got != string(model.durable) {
				t.Fatal("a crash that loses everything unsynced kept some")
			}
			for _, tear := range []bool{false, true} {
				c := m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 1 + rng.IntN(99), TearSectors: tear})
				got := content(t, c, "/f")
				model.check(t, []byte(got))
				if again := content(t, c.CrashClone(total), "/f"); again != got {
					t.Fatal("a second crash lost what had survived the first")
				}
			}
		}
		checkUsed(t, m)
		must(t, f.Close())
	}
}

// byteModel knows what each byte of a file may be after a crash.
type byteModel struct {
	now, durable []byte
	versions     []map[byte]bool // of each byte since the last sync; nil means only the durable one
	least, most  int             // sizes since then
}

func (b *byteModel) write(off, n int, c byte) {
	if off+n > len(b.now) {
		b.resize(off + n)
	}
	for i := off; i < off+n; i++ {
		b.now[i] = c
		b.versions[i][c] = true
	}
}

func (b *byteModel) resize(n int) {
	if n < len(b.now) {
		b.now = b.now[:n]
	} else {
		b.now = append(b.now, make([]byte, n-len(b.now))...)
	}
	b.track()
	for i := n; i < len(b.versions); i++ {
		b.versions[i][0] = true // it may grow back as zero
	}
}

func (b *byteModel) sync() {
	b.durable = bytes.Clone(b.now)
	b.versions, b.least, b.most = nil, len(b.now), len(b.now)
	b.track()
}

// track widens what is known to the size now.
func (b *byteModel) track() {
	b.least, b.most = min(b.least, len(b.now)), max(b.most, len(b.now))
	for i := len(b.versions); i < max(len(b.now), len(b.durable)); i++ {
		v := map[byte]bool{}
		if i < len(b.durable) {
			v[b.durable[i]] = true
		} else {
			v[0] = true
		}
		b.versions = append(b.versions, v)
	}
}

func (b *byteModel) check(t *testing.T, got []byte) {
	t.Helper()
	if len(got) < b.least || len(got) > b.most {
		t.Fatalf("found %d bytes, the file had %d to %d since the last sync", len(got), b.least, b.most)
	}
	for i, c := range got {
		if !b.versions[i][c] {
			t.Fatalf("byte %d is %d, which it never was since the last sync: %v", i, c, b.versions[i])
		}
	}
}

func TestSameSeedSameCrash(t *testing.T) {
	m := NewMem()
	for i := range 20 {
		f := mustCreate(t, m, fmt.Sprintf("/%d", i))
		mustWriteAt(t, f, strings.Repeat("x", 5000), 0)
		must(t, f.Close())
	}
	dump := func() string {
		c := m.CrashClone(CrashConfig{Rand: rand.New(rand.NewPCG(7, 7)), KeepUnsynced: 50, TearSectors: true})
		names, err := c.List("/")
		must(t, err)
		all := ""
		for _, name := range names {
			all += name + content(t, c, "/"+name)
		}
		return all
	}
	if dump() != dump() {
		t.Error("the same seed gave two crashes")
	}
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

func TestWriteFileIsOneStep(t *testing.T) {
	rng := newRand(t)
	old, next := strings.Repeat("old", 500), strings.Repeat("new", 700)
	m := NewMem()
	must(t, MakeDirs(m, "/d"))
	must(t, WriteFile(m, "/d/f", []byte(old)))
	steps := 0
	look := func(op Op, name string) {
		if !op.Changes() {
			return
		}
		steps++
		for range 50 {
			c := m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 50, TearSectors: true, TearEntries: true})
			if got := content(t, c, "/d/f"); got != old && got != next {
				t.Fatalf("after %s of %s: neither the old nor the new content", op, name)
			}
		}
	}
	must(t, WriteFile(Record(m, look), "/d/f", []byte(next)))
	if steps != 5 { // create, write, sync, rename, sync of the directory
		t.Errorf("%d steps were seen", steps)
	}
	if got := content(t, m.CrashClone(total), "/d/f"); got != next {
		t.Error("the new content is not durable")
	}
}

func TestWriteFileCleansUpAfterItself(t *testing.T) {
	boom := errors.New("boom")
	for _, at := range []Op{OpCreate, OpWrite, OpSync, OpRename, OpSyncDir} {
		m := NewMem()
		must(t, WriteFile(m, "/f", []byte("old")))
		fsys := WithErrors(m, func(op Op, _ string) error {
			if op == at {
				return boom
			}
			return nil
		})
		if err := WriteFile(fsys, "/f", []byte("new")); !errors.Is(err, boom) {
			t.Errorf("with a failing %s: %v", at, err)
		}
		if open := m.OpenFiles(); len(open) > 0 {
			t.Errorf("with a failing %s: left open %v", at, open)
		}
		want := "old"
		if at == OpSyncDir { // unknown to the caller, there to readers
			want = "new"
		}
		if got := content(t, m, "/f"); got != want {
			t.Errorf("with a failing %s: %q", at, got)
		}
	}
}

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
