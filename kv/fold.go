package kv

import (
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
)

// Changelog is a piece of a bucket's log, as it was stored.
type Changelog struct {
	Schema  *quiver.Schema // of the rows, without the change type
	Base    quiver.Offset  // of the first row
	Columns []arrow.Array  // in the order of the schema
	Types   *array.Int8
	// Continued says that the next piece is of the same change: readers see both at once.
	Continued bool
}

// Fold applies a piece of the log that begins where the rows end, or before that: what has been applied is left out. It
// takes the pieces in order, and only those below the high watermark.
func (t *Tablet) Fold(piece *Changelog, epoch quiver.Epoch) error {
	t.advancing.Lock()
	defer t.advancing.Unlock()
	if t.retired {
		return ErrRetired
	}
	mark := t.Mark()
	change, err := t.changeOf(piece, mark.Applied)
	if err != nil || change == nil {
		return err
	}
	mark.Applied, mark.Epoch, mark.Rows = change.until, epoch, mark.Rows+change.inserted
	if err := t.apply([]*Change{change}, mark); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mark, t.staged = mark, max(t.staged, mark.Applied)
	return nil
}

// StageLog stages a piece of the log that lies above the high watermark: the log has it, but nobody may see it yet.
func (t *Tablet) StageLog(piece *Changelog) error {
	change, err := t.changeOf(piece, t.Staged())
	if err != nil || change == nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, change)
	t.staged = change.until
	t.indexLocked(change)
	return nil
}

// changeOf gives what a piece of the log does, from an offset on; nil if it ends before.
func (t *Tablet) changeOf(piece *Changelog, from quiver.Offset) (*Change, error) {
	n := piece.Types.Len()
	until := piece.Base + quiver.Offset(n)
	if until <= from {
		return nil, nil
	}
	if piece.Base > from {
		return nil, quiver.Errorf(quiver.CorruptRange, "changes [%d, %d) are missing", from, piece.Base)
	}
	keys, rows, err := t.encodeLog(piece)
	if err != nil {
		return nil, err
	}
	c := &Change{from: from, until: until, continued: piece.Continued}
	last := map[string]int{}
	for i := int(from - piece.Base); i < n; i++ {
		var r row
		switch what := quiver.ChangeType(piece.Types.Value(i)); what {
		case quiver.UpdateBefore:
			continue
		case quiver.Insert, quiver.UpdateAfter:
			r = rows[i]
			r.setOffset(piece.Base + quiver.Offset(i))
			if what == quiver.Insert {
				c.inserted++
			}
		case quiver.Delete:
			c.inserted--
		default:
			return nil, quiver.Errorf(quiver.CorruptRange, "row %d of a changelog has change type %d", piece.Base+quiver.Offset(i), int8(what))
		}
		m := mutation{change: c, key: keys[i], row: r, entry: i}
		if at, ok := last[string(keys[i])]; ok {
			c.mutations[at] = m
		} else {
			last[string(keys[i])] = len(c.mutations)
			c.mutations = append(c.mutations, m)
		}
		c.size += len(m.key) + len(m.row) + mutationCost
	}
	return c, nil
}

// encodeLog makes keys and rows under the schema that the piece was stored under.
func (t *Tablet) encodeLog(piece *Changelog) ([][]byte, []row, error) {
	key := t.current().Key
	codec, err := newCodec(piece.Schema, slices.Clone(key))
	if err != nil {
		return nil, nil, err
	}
	if err := t.store.keepSchema(t.id.Table, piece.Schema); err != nil {
		return nil, nil, err
	}
	n := piece.Types.Len()
	inputs := make([]*input, len(codec.keys))
	for i := range codec.keys {
		inputs[i] = newInput(piece.Columns[codec.keys[i].place])
	}
	keys, err := codec.encodeKeys(t.rows, inputs, n)
	if err != nil {
		return nil, nil, err
	}
	values := make([]*input, len(codec.values))
	for i := range codec.values {
		values[i] = newInput(piece.Columns[codec.values[i].place])
	}
	rows, err := codec.encode(values, n, math.MaxInt)
	return keys, rows, err
}
