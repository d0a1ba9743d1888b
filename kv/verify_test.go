package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// verifyDir checks the rows of the test bucket, in a file system that refuses changes, by as little memory as a budget
// gives.
func verifyDir(fsys fs.FS, c Config, log Log, budget int) ([]quiver.Finding, error) {
	v, findings, _ := NewVerifier(fs.ReadOnly(fsys), "/data/kv", "/data/kv-checkpoint")
	bytes := int64(0)
	more, err := v.Files(context.Background(), func(n int64) { bytes += n })
	findings = append(findings, more...)
	if err == nil && bytes != v.Bytes() {
		err = fmt.Errorf("%d bytes were checked, there are %d", bytes, v.Bytes())
	}
	if err == nil && v.Readable() {
		var ids []quiver.BucketID
		if ids, err = v.Buckets(); err == nil && (len(ids) > 1 || len(ids) == 1 && ids[0] != testBucket) {
			err = fmt.Errorf("the buckets are %v", ids)
		}
	}
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	more, err = v.verify(context.Background(), testBucket, c, log, budget)
	return append(findings, more...), errors.Join(err, v.Close())
}

// changelog is the model's log up to an offset, as of some start.
func changelog(log []*Changelog, start, end int64) Log {
	return Log{Start: quiver.Offset(start), End: quiver.Offset(end), Each: func(visit func(*Changelog) error) error {
		for _, piece := range log {
			if int64(piece.Base)+int64(piece.Types.Len()) <= start || int64(piece.Base) >= end {
				continue
			}
			if err := visit(piece); err != nil {
				return err
			}
		}
		return nil
	}}
}

// verify expects nothing to be found in what a test has made, from wherever the log begins.
func (b *bucket) verify(disk *fs.Mem) {
	b.t.Helper()
	start := int64(0)
	if b.r.IntN(2) == 0 {
		durable := b.durable(disk)
		for _, piece := range b.log {
			if int64(piece.Base) <= durable && b.r.IntN(3) == 0 {
				start = int64(piece.Base)
			}
		}
	}
	findings, err := verifyDir(disk, b.model.config, changelog(b.log, start, b.high), []int{300, foldBytes}[b.r.IntN(2)])
	if err != nil || len(findings) > 0 {
		b.t.Fatalf("found in sound rows, by a log from %d on: %v, %v", start, findings, err)
	}
}

// durable is the mark that a disk has.
func (b *bucket) durable(disk *fs.Mem) int64 {
	b.t.Helper()
	v, _, _ := NewVerifier(disk, "/data/kv", "/data/kv-checkpoint")
	if !v.Readable() {
		return 0
	}
	mark, err := v.store.mark(v.store.engine.db, testBucket)
	if err := errors.Join(err, v.Close()); err != nil {
		b.t.Fatal(err)
	}
	return int64(mark.Applied)
}

// TestPlantedDamage plants each kind of damage in rows and changelog, and expects to be told of exactly that.
func TestPlantedDamage(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(b *bucket, disk *fs.Mem) Log
		want  string
		all   int // findings; 0: one
	}{
		{"a block", func(b *bucket, disk *fs.Mem) Log {
			flipIn(b.t, disk, ".sst", 40)
			return changelog(b.log, 0, b.high)
		}, ".sst, bytes [0, ", 1},
		{"a file gone", func(b *bucket, disk *fs.Mem) Log {
			if err := disk.Remove(fileIn(b.t, disk, ".sst")); err != nil {
				b.t.Fatal(err)
			}
			return changelog(b.log, 0, b.high)
		}, "/data/kv/db: the database cannot be opened: ", 1},
		{"the manifest", func(b *bucket, disk *fs.Mem) Log {
			flipIn(b.t, disk, "MANIFEST", 20)
			return changelog(b.log, 0, b.high)
		}, "/data/kv/db: the database cannot be opened: ", 1},
		{"a count", edit(func(b *bucket, db *pebble.DB) {
			m := b.tablet.Mark()
			m.Rows++
			_ = db.Set(markKey(testBucket), m.encode(), pebble.NoSync)
		}), "the bucket counts 4 rows, it has 3", 1},
		{"a value", edit(func(b *bucket, db *pebble.DB) {
			key, r := b.stored(db, 1)
			r[len(r)-1] ^= 1
			_ = db.Set(key, r, pebble.NoSync)
		}), "offsets [1, 2): the row of key 1, b has other values than the change at offset 1", 1},
		{"a row gone", edit(func(b *bucket, db *pebble.DB) {
			key, _ := b.stored(db, 1)
			_ = db.Delete(key, pebble.NoSync)
		}), "offsets [1, 2): the row of key 1, b is missing, that the change at offset 1 left", 2},
		{"an older row", edit(func(b *bucket, db *pebble.DB) {
			key, r := b.stored(db, 0)
			r.setOffset(0)
			_ = db.Set(key, r, pebble.NoSync)
		}), "offsets [4, 5): the row of key 1, a is that of offset 0, the last change is at 4", 1},
		{"a row too many", edit(func(b *bucket, db *pebble.DB) {
			key, r := b.stored(db, 0)
			key[len(key)-3] = 'z'
			_ = db.Set(key, r, pebble.NoSync)
		}), "offsets [4, 5): there is a row of key 1, z at offset 4 that no change has made", 2},
		{"a deleted row", edit(func(b *bucket, db *pebble.DB) {
			key, r := b.stored(db, 0)
			key[len(key)-3] = 'd'
			_ = db.Set(key, r, pebble.NoSync)
		}), "offsets [6, 7): there is a row of key 1, d, that the change at offset 6 deleted", 2},
		{"no row", edit(func(b *bucket, db *pebble.DB) {
			key, _ := b.stored(db, 0)
			_ = db.Set(key, []byte("short"), pebble.NoSync)
		}), "the row of key 1, a cannot be read: ", 1},
		{"no schema", edit(func(_ *bucket, db *pebble.DB) { _ = db.Delete(schemaKey(testBucket.Table, 1), pebble.NoSync) }),
			"the row of key 1, a cannot be read: it is stored under schema 1, which the database does not have", 3},
		{"a log that ends before the rows", func(b *bucket, _ *fs.Mem) Log { return changelog(b.log, 0, 5) },
			"offsets [5, 7): the rows are those at offset 7, and the log ends at 5", 1},
		{"a log that begins behind the rows", func(b *bucket, _ *fs.Mem) Log { return changelog(b.log, 9, 11) },
			"offsets [7, 9): the rows are those at offset 7, and the log begins at 9: the changes between are lost", 1},
		{"an insert twice", retyped(quiver.Insert, 3), "a +I at offset 3, of the key 1, a that is there since offset 0", 0},
		{"a delete of nothing", retyped(quiver.Delete, 0), "a -D at offset 0, of the key 1, a that is not there", 2},
		{"an update of nothing", retyped(quiver.UpdateAfter, 0), "a +U at offset 0, of the key 1, a that is not there", 1},
		{"an update without its after", retyped(quiver.UpdateBefore, 4), "the -U at offset 3 is not followed by the +U of its key", 0},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			b, disk := newPlanted(t)
			log := c.plant(b, disk)
			findings, err := verifyDir(disk, b.model.config, log, foldBytes)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				if f.Effect == "" {
					t.Errorf("%s: no word of what it means", f)
				}
			}
			if len(findings) == 0 || !strings.Contains(findings[0].String(), c.want) || c.all > 0 && len(findings) != c.all {
				t.Errorf("found %d: %v\nwant %s", len(findings), findings, c.want)
			}
		})
	}
}

// newPlanted makes rows by the changelog +I 1a, +I 1b, +I 1c; -U 1a, +U 1a; +I 1d, -D 1d.
func newPlanted(t *testing.T) (*bucket, *fs.Mem) {
	s := modelSchema(t)
	config := Config{Schema: s, Key: []quiver.ColumnID{idOf(s, "k1"), idOf(s, "k2")}}
	b := &bucket{t: t, r: rand.New(rand.NewPCG(1, 1)), model: &model{config: config, rows: map[string]modelRow{}}}
	disk := fs.NewMem()
	b.open(disk, config)
	sent := []string{"k1", "k2", "text"}
	put := func(op Op, keys ...string) {
		var rows []fields
		in := &Rows{Partial: true}
		for i, k := range keys {
			rows = append(rows, fields{"k1": json.Number("1"), "k2": k, "text": fmt.Sprint("t", b.end, i)})
			in.Ops = append(in.Ops, op)
		}
		columns := sent
		if op == Delete {
			columns = sent[:2]
		}
		in.Len, in.Columns = len(rows), batchOf(t, s, rows, columns)
		b.stage(in, rows, columns)
	}
	put(Upsert, "a", "b", "c")
	put(Upsert, "a")
	put(Upsert, "d")
	put(Delete, "d")
	b.high = b.end
	if err := b.tablet.Advance(quiver.Offset(b.high), 1); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.store.Close(), b.dir.Close()); err != nil {
		t.Fatal(err)
	}
	b.verify(disk)
	if at := b.durable(disk); at != b.high {
		t.Fatalf("the rows are those at offset %d after the store was closed, want %d", at, b.high)
	}
	return b, disk
}

// edit changes the database behind the back of the store.
func edit(change func(b *bucket, db *pebble.DB)) func(b *bucket, disk *fs.Mem) Log {
	return func(b *bucket, disk *fs.Mem) Log {
		b.open(disk, b.model.config)
		change(b, b.store.engine.db)
		if err := errors.Join(b.store.Close(), b.dir.Close()); err != nil {
			b.t.Fatal(err)
		}
		return changelog(b.log, 0, b.high)
	}
}

// stored gives the n-th row of the database, with its key.
func (b *bucket) stored(db *pebble.DB, n int) ([]byte, row) {
	b.t.Helper()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: b.tablet.rows, UpperBound: after(b.tablet.rows)})
	if err != nil {
		b.t.Fatal(err)
	}
	defer it.Close()
	for it.First(); n > 0; n-- {
		it.Next()
	}
	return append([]byte(nil), it.Key()...), append(row(nil), it.Value()...)
}

// retyped changes the type of a change in the log.
func retyped(what quiver.ChangeType, at int) func(b *bucket, _ *fs.Mem) Log {
	return func(b *bucket, _ *fs.Mem) Log {
		for n, piece := range b.log {
			if at < int(piece.Base) || at >= int(piece.Base)+piece.Types.Len() {
				continue
			}
			types := append([]int8(nil), piece.Types.Int8Values()...)
			types[at-int(piece.Base)] = int8(what)
			changed := *piece
			builder := array.NewInt8Builder(memory.DefaultAllocator)
			builder.AppendValues(types, nil)
			changed.Types = builder.NewInt8Array()
			b.log[n] = &changed
		}
		return changelog(b.log, 0, b.high)
	}
}

func fileIn(t *testing.T, disk *fs.Mem, part string) string {
	t.Helper()
	names, err := disk.List("/data/kv/db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(name, part) && !strings.HasPrefix(name, "marker") {
			return "/data/kv/db/" + name
		}
	}
	t.Fatalf("there is no %s among %v", part, names)
	return ""
}

// flipIn inverts a bit of a file.
func flipIn(t *testing.T, disk *fs.Mem, part string, at int64) {
	t.Helper()
	f, err := disk.OpenReadWrite(fileIn(t, disk, part), fs.Unspecified)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
