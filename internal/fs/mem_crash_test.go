package fs

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
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
	if first, second := dump(), dump(); first != second {
		t.Error("the same seed gave two crashes")
	}
}
