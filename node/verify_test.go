package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fs"
)

// found gives the findings of a directory, each as its kind, bucket, offsets and problem.
func found(t *testing.T, fsys fs.FS, data string) (all []string) {
	t.Helper()
	v, err := Verify(t.Context(), VerifyOptions{FS: fsys, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range v.Findings {
		if f.Effect == "" {
			t.Errorf("%s: no word of what it means", f)
		}
		f.File, f.Effect = "", ""
		all = append(all, string(f.Kind)+f.String())
	}
	return all
}

// filled makes a directory with a log table of two buckets and writers, a partitioned one, and a primary-key table.
func filled(t *testing.T) *fs.Mem {
	mem := fs.NewMem()
	r := start(t, mem)
	c := dial(t, r, flight.ClientOptions{})
	makeTable(t, c, "numbers", 2)
	makeStock(t, c, 1)
	ctx := t.Context()
	for range 3 {
		if _, err := r.put(ctx, map[string]any{"put": "numbers"}, rows(0, 50)); err != nil {
			t.Fatal(err)
		}
	}
	for pieces := range 2 {
		if _, err := r.put(ctx, map[string]any{"put": "stock"}, piecesOf(20, int32(pieces))); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	sound(t, mem)
	return mem
}

// piecesOf makes a batch of so many items, of each so many pieces.
func piecesOf(items int64, pieces int32) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "item", Type: arrow.PrimitiveTypes.Int64},
		{Name: "place", Type: arrow.BinaryTypes.String}, {Name: "pieces", Type: arrow.PrimitiveTypes.Int32, Nullable: true}}, nil))
	defer b.Release()
	for item := range items {
		b.Field(0).(*array.Int64Builder).Append(item)
		b.Field(1).(*array.StringBuilder).Append("shelf")
		b.Field(2).(*array.Int32Builder).Append(pieces)
	}
	return b.NewRecordBatch()
}

// copyDir copies what is below a directory from one file system to another place.
func copyDir(t *testing.T, from fs.FS, dir string, to fs.FS, target string) {
	t.Helper()
	names, err := from.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.MakeDirs(to, target); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := from.Stat(from.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			copyDir(t, from, from.PathJoin(dir, name), to, to.PathJoin(target, name))
			continue
		}
		data, err := fs.ReadFile(from, from.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := fs.WriteFile(to, to.PathJoin(target, name), data); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyFindsWhatDoesNotFit puts parts of directories together that do not belong together.
func TestVerifyFindsWhatDoesNotFit(t *testing.T) {
	whole := filled(t)
	for _, c := range []struct {
		name  string
		plant func(mem *fs.Mem) error
		want  []string
	}{
		{"metadata gone", func(mem *fs.Mem) error { return mem.RemoveAll("/data/meta") }, []string{
			"metadata, bucket 1/0/0: there is data of table 1, such as in /data/log/1/0/0, which the metadata does not know",
			"metadata, bucket 1/0/1: there is data of table 1, such as in /data/log/1/0/1, which the metadata does not know",
			"metadata, bucket 2/0/0: there is data of table 2, such as in /data/log/2/0/0, which the metadata does not know",
		}},
		{"a log gone", func(mem *fs.Mem) error { return mem.RemoveAll("/data/log/1/0/1") }, []string{
			"segment, bucket 1/0/1, offsets [0, ",
		}},
		{"a log too many", func(mem *fs.Mem) error {
			copyDir(t, mem, "/data/log/1/0/1", mem, "/data/log/1/0/7")
			return nil
		}, []string{
			"segment, bytes [0, 64), bucket 1/0/7: the head of the segment is damaged: the file /data/log/1/0/7/00000000000000000000.arrows is the segment of bucket 1/0/1 at offset 0",
			"state, bucket 1/0/7: damaged: it belongs to bucket 1/0/1", "metadata, bucket 1/0/7: there is data of bucket 7 of table default.numbers"}},
		{"a partition too many", func(mem *fs.Mem) error { return mem.MkdirAll("/data/log/1/9/0", 0o755) },
			[]string{"metadata, bucket 1/9/0: there is data of partition 9 of table default.numbers, such as in /data/log/1/9/0, which the metadata does not know"}},
		{"rows of another log", func(mem *fs.Mem) error {
			if err := mem.RemoveAll("/data/log/2/0/0"); err != nil {
				return err
			}
			return mem.Remove("/data/log/checkpoint")
		}, []string{"rows, bucket 2/0/0, offsets [0, 60): the rows are those at offset 60, and the log ends at 0"}},
		{"rows gone", func(mem *fs.Mem) error { return mem.RemoveAll("/data/kv") }, nil},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			mem := whole.Clone()
			if err := c.plant(mem); err != nil {
				t.Fatal(err)
			}
			got := found(t, mem, "/data")
			for i := range max(len(got), len(c.want)) {
				if i >= len(got) || i >= len(c.want) || !strings.HasPrefix(got[i], c.want[i]) {
					t.Fatalf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
				}
			}
		})
	}
}

// TestVerifyMetadataOlderThanLogs puts an old copy of the metadata beside newer logs.
func TestVerifyMetadataOlderThanLogs(t *testing.T) {
	mem := fs.NewMem()
	r := start(t, mem)
	c := dial(t, r, flight.ClientOptions{})
	makeTable(t, c, "numbers", 1)
	raised, err := r.action(t.Context(), "writer.init", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	old := mem.Clone()
	r = start(t, mem)
	if _, err := r.action(t.Context(), "table.alter", `{"table":"numbers","changes":[{"add":{"name":"more","type":"int64"}}]}`); err != nil {
		t.Fatal(err)
	}
	answers, err := r.action(t.Context(), "writer.init", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.put(t.Context(), map[string]any{"put": "numbers", "writer_id": idOf(answers[0]), "writer_epoch": 0, "sequence": 0}, rows(0, 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.action(t.Context(), "writer.init", fmt.Sprintf(`{"writer_id":%v}`, idOf(raised[0]))); err != nil {
		t.Fatal(err)
	}
	if _, err := r.put(t.Context(), map[string]any{"put": "numbers", "writer_id": idOf(raised[0]), "writer_epoch": 1, "sequence": 0}, rows(5, 9)); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	both := mem.Clone()
	if err := both.RemoveAll("/data/meta"); err != nil {
		t.Fatal(err)
	}
	copyDir(t, old, "/data/meta", both, "/data/meta")
	copyDir(t, mem, "/data/log/1/0/0", both, "/data/log/1/0/1") // as if there had been more buckets
	got := strings.Join(found(t, both, "/data"), "\n")
	for _, want := range []string{
		"the log of table default.numbers has rows of epoch 2, the metadata has given out 1",
		"has rows of schema 2, the table default.numbers has come to schema 1",
		"the log of table default.numbers has rows of writer ",
		fmt.Sprintf("has rows of epoch 1 of writer %v, the metadata has granted 0", idOf(raised[0])),
		"there is data of bucket 1 of table default.numbers, such as in /data/log/1/0/1, which has 1 buckets",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("found\n%s\nwant %s", got, want)
		}
	}
}

// TestVerifyDamagedMetadata flips bits in the files of the metadata: what is found is found of the metadata.
func TestVerifyDamagedMetadata(t *testing.T) {
	whole := filled(t)
	names, err := whole.List("/data/meta")
	if err != nil {
		t.Fatal(err)
	}
	flips := 0
	for _, name := range names {
		path := filepath.Join("/data/meta", name)
		data, err := fs.ReadFile(whole, path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(data); at += 1 + len(data)/12 {
			mem := whole.Clone()
			changed := append([]byte(nil), data...)
			changed[at] ^= 4
			if err := fs.WriteFile(mem, path, changed); err != nil {
				t.Fatal(err)
			}
			flips++
			got := found(t, mem, "/data")
			for _, f := range got { // several where the newest commits are gone, and their tables with them
				if !strings.HasPrefix(f, "metadata") {
					t.Errorf("byte %d of %s: %s", at, name, f)
				}
			}
		}
	}
	t.Logf("%d flips", flips)
}

// TestVerifyRefusals asks for what cannot be verified.
func TestVerifyRefusals(t *testing.T) {
	mem := fs.NewMem()
	if err := fs.MakeDirs(mem, "/other/place"); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"/nowhere", "/other"} {
		if _, err := Verify(t.Context(), VerifyOptions{FS: mem, Data: data}); !errors.Is(err, ErrNoData) {
			t.Errorf("%s: %v", data, err)
		}
	}
	r := start(t, mem)
	if _, err := Verify(t.Context(), VerifyOptions{FS: mem, Data: "/data"}); err == nil || !strings.Contains(err.Error(), "the data directory /data is in use by another process: stop it, or verify a copy") {
		t.Errorf("while a node runs: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, VerifyOptions{FS: mem, Data: "/data"}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestVerifyChangesNothing compares a directory before and after, down to its files' sizes.
func TestVerifyChangesNothing(t *testing.T) {
	mem := filled(t)
	changes := 0
	watched := fs.Record(mem, func(op fs.Op, name string) {
		if op.Changes() && op != fs.OpLock {
			changes++
			t.Errorf("%s of %s", op, name)
		}
	})
	var mu sync.Mutex // guards done and total: several goroutines tell of progress
	var done, total int64
	v, err := Verify(t.Context(), VerifyOptions{FS: watched, Data: "/data"})
	if err != nil || len(v.Findings) > 0 || v.Tables != 2 || v.Logs != 3 || v.Rows == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	_, err = Verify(t.Context(), VerifyOptions{FS: mem, Data: "/data", Progress: func(n, of int64) {
		mu.Lock()
		defer mu.Unlock()
		done, total = max(done, n), of
	}})
	if err != nil || total == 0 || done > total || done < total*9/10 {
		t.Errorf("progress came to %d of %d, %v", done, total, err)
	}
}
