package kv

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// plain is a bucket of int64 keys with texts.
type plain struct {
	t      *testing.T
	schema *quiver.Schema
	dir    *Dir
	store  *Store
	tablet *Tablet
}

func newPlain(t *testing.T, fsys fs.FS) *plain {
	t.Helper()
	schema, err := quiver.NewSchema(1, arrow.NewSchema([]arrow.Field{
		{Name: "k", Type: arrow.PrimitiveTypes.Int64}, {Name: "text", Type: arrow.BinaryTypes.String},
	}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &plain{t: t, schema: schema}
	if p.dir, err = OpenDir(fsys, "/data/kv", Options{Checkpoints: "/data/kv-checkpoint"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(p.store.Close(), p.dir.Close()); err != nil {
			t.Error(err)
		}
	})
	if p.store, err = p.dir.Open(); err != nil {
		t.Fatal(err)
	}
	key, _ := schema.ByName("k")
	if p.tablet, err = p.store.Tablet(testBucket, Config{Schema: schema, Key: []quiver.ColumnID{key.ID}}); err != nil {
		t.Fatal(err)
	}
	return p
}

// inserts is a piece of a changelog that inserts keys from first on, each with a text.
func (p *plain) inserts(base quiver.Offset, continued bool, text string, keys ...int64) *Changelog {
	b := array.NewRecordBuilder(memory.DefaultAllocator, p.schema.Arrow())
	defer b.Release()
	types := array.NewInt8Builder(memory.DefaultAllocator)
	defer types.Release()
	for _, k := range keys {
		b.Field(0).(*array.Int64Builder).Append(k)
		b.Field(1).(*array.StringBuilder).Append(text)
		types.Append(int8(quiver.Insert))
	}
	return &Changelog{Schema: p.schema, Base: base, Columns: b.NewRecordBatch().Columns(), Types: types.NewInt8Array(), Continued: continued}
}

func (p *plain) stage(pieces ...*Changelog) {
	p.t.Helper()
	for _, piece := range pieces {
		if err := p.tablet.StageLog(piece); err != nil {
			p.t.Fatal(err)
		}
	}
}

// TestFoldFromTheMiddle: a stored batch may hold several changes, of which some were applied: these are not counted
// again.
func TestFoldFromTheMiddle(t *testing.T) {
	p := newPlain(t, fs.NewMem())
	for _, piece := range []*Changelog{p.inserts(0, false, "a", 1, 2), p.inserts(0, false, "a", 1, 2, 3), p.inserts(1, false, "a", 2, 3, 4, 5)} {
		if err := p.tablet.Fold(piece, 1); err != nil {
			t.Fatal(err)
		}
		if m, until := p.tablet.Mark(), piece.Base+quiver.Offset(piece.Types.Len()); m.Applied != until || m.Rows != int64(until) {
			t.Errorf("%d inserts gave the mark %+v", until, m)
		}
	}
	if err := p.tablet.Fold(p.inserts(7, false, "a", 9), 1); quiver.ReasonOf(err) != quiver.CorruptRange || !strings.Contains(err.Error(), "[5, 7)") {
		t.Errorf("changes that are missing: %v", err)
	}
}

// TestTruncate forgets what lies at or behind the offset, and nothing before it.
func TestTruncate(t *testing.T) {
	p := newPlain(t, fs.NewMem())
	p.stage(p.inserts(0, false, "a", 1, 2), p.inserts(2, false, "a", 3))
	for _, test := range []struct{ at, left quiver.Offset }{{4, 3}, {3, 3}, {2, 2}, {1, 0}} {
		p.tablet.Truncate(test.at)
		if staged := p.tablet.Staged(); staged != test.left {
			t.Errorf("truncated at %d the rows go to %d, not to %d", test.at, staged, test.left)
		}
	}
}

// TestRowsAreCounted: a checkpoint whose bucket has other rows than its mark counts is not restored, however sound its
// blocks are.
func TestRowsAreCounted(t *testing.T) {
	p := newPlain(t, fs.NewMem())
	p.stage(p.inserts(0, false, "a", 1, 2, 3))
	if err := p.tablet.Advance(3, 1); err != nil {
		t.Fatal(err)
	}
	if err := p.store.engine.readAll(); err != nil {
		t.Errorf("three rows of three: %v", err)
	}
	keys := slices.Collect(func(yield func([]byte) bool) {
		it, err := p.store.engine.db.NewIter(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		for valid := it.First(); valid; valid = it.Next() {
			if _, part, ok := parseBucket(it.Key()); ok && part != partMark && !yield(slices.Clone(it.Key())) {
				return
			}
		}
	})
	if err := p.store.engine.db.Delete(keys[1], pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if err := p.store.engine.readAll(); !errors.Is(err, errRow) {
		t.Errorf("two rows of three: %v", err)
	}
}
