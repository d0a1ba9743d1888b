package node

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/kv"
	"github.com/quiverlog/quiver/tablet"
)

// saveRows makes a checkpoint of the rows of a node that is down.
func saveRows(t *testing.T, mem *fs.Mem) {
	t.Helper()
	d, err := kv.OpenDir(mem, filepath.Join("/data", tablet.RowsDir), kv.Options{Checkpoints: filepath.Join("/data", tablet.RowCheckpointsDir)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Open()
	if err == nil {
		err = errors.Join(d.Checkpoint(s), s.Close())
	}
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
}

// filesBelow lists the files below a directory that have a byte.
func filesBelow(t *testing.T, fsys fs.FS, dir string) (paths []string) {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		path := fsys.PathJoin(dir, name)
		info, err := fsys.Stat(path)
		switch {
		case err != nil:
			t.Fatal(err)
		case info.IsDir():
			paths = append(paths, filesBelow(t, fsys, path)...)
		case info.Size() > 0:
			paths = append(paths, path)
		}
	}
	return paths
}

// TestVerifyFindsEveryBit flips one bit anywhere in a data directory with logs, rows, a checkpoint of them and metadata.
// It is told of, as a finding or as what a start cuts off; or it is dead: a server that starts from the directory serves
// every row as it was.
func TestVerifyFindsEveryBit(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	flips := 150
	if s := os.Getenv("QUIVER_RUNS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		flips *= n
	}
	r := rand.New(rand.NewPCG(seed, 0))
	whole := filled(t)
	saveRows(t, whole)
	sound(t, whole)
	numbers, stock := served(t, whole.Clone())
	paths := filesBelow(t, whole, "/data")
	told, dead := map[string]int{}, map[string]int{}
	for range flips {
		path := paths[r.IntN(len(paths))]
		data, err := fs.ReadFile(whole, path)
		if err != nil {
			t.Fatal(err)
		}
		at, bit := r.IntN(len(data)), r.IntN(8)
		data[at] ^= 1 << bit
		mem := whole.Clone()
		f, err := mem.OpenReadWrite(path, fs.Unspecified) // in place: tables are hard links
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(data[at:at+1], int64(at))
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		v, err := Verify(t.Context(), VerifyOptions{FS: mem, Data: "/data"})
		if err != nil {
			t.Fatalf("bit %d of byte %d of %s: %v", bit, at, path, err)
		}
		kind := kindOf(path)
		if len(v.Findings)+len(v.Notes) > 0 {
			told[kind]++
			continue
		}
		dead[kind]++
		gotNumbers, gotStock := served(t, mem)
		if !slices.Equal(gotNumbers, numbers) || !slices.Equal(gotStock, stock) {
			t.Errorf("bit %d of byte %d of %s: nothing is told of it, and the server gives other rows", bit, at, path)
		}
	}
	t.Logf("told: %v, dead: %v", told, dead)
	for _, kind := range []string{".arrows", ".state", ".index", "checkpoint", "SEAL"} { // these have no byte to spare
		if dead[kind] > 0 {
			t.Errorf("%d flips in files %s are not told of", dead[kind], kind)
		}
	}
}

// kindOf groups files: by what their names end in, or begin with.
func kindOf(path string) string {
	name := filepath.Base(path)
	if kind := filepath.Ext(name); kind != "" {
		return kind
	}
	kind, _, _ := strings.Cut(name, "-")
	return kind
}

// served is what a server gives that starts from a directory.
func served(t *testing.T, mem *fs.Mem) (numbers []int64, stock []string) {
	t.Helper()
	r := start(t, mem)
	numbers, err := r.get(t.Context(), `{"table":"numbers","columns":["n"]}`)
	slices.Sort(numbers)
	stock = currentStock(t, dial(t, r, flight.ClientOptions{}))
	if err := errors.Join(err, r.stop()); err != nil {
		t.Fatal(err)
	}
	return numbers, stock
}
