package record

import (
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// arrangeObvious decodes, picks and encodes.
func arrangeObvious(t *testing.T, b *Batch, l *Layout, order []int, made []arrow.Array) arrow.RecordBatch {
	rows := decode(t, b)
	defer rows.Release()
	columns := make([]arrow.Array, len(order))
	for i, c := range order {
		if n := int(rows.NumCols()); c < n {
			columns[i] = rows.Column(c)
		} else {
			columns[i] = made[c-n]
		}
	}
	return array.NewRecordBatch(l.Schema(), columns, rows.NumRows())
}

// TestArrange compares arrangements of random batches, compressed ones and merged ones too, with the obvious way.
func TestArrange(t *testing.T) {
	seeded(t, 300, func(t *testing.T, r *rand.Rand) {
		schema := randomSchema(r, 2)
		b := randomBatch(t, r, testLayout(t, schema), randomRows(r), randomCodec(r))
		defer b.Release()
		own := schema.NumFields()
		extra := []arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.BinaryTypes.String}}
		made := make([]arrow.Array, len(extra))
		for i, f := range extra {
			made[i] = randomArray(r, memory.DefaultAllocator, f, b.Rows())
			defer made[i].Release()
		}
		order := r.Perm(own + len(extra))[:r.IntN(own+len(extra)+1)]
		fields := make([]arrow.Field, len(order))
		for i, c := range order {
			if c < own {
				fields[i] = schema.Field(c)
			} else {
				fields[i] = extra[c-own]
			}
		}
		l, err := InputLayout(arrow.NewSchema(fields, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Arrange(l, order, made...)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Release()
		mustBeSound(t, "arranged", got)
		rows := decode(t, got)
		defer rows.Release()
		want := arrangeObvious(t, b, l, order, made)
		defer want.Release()
		mustEqual(t, "arranged", rows, want)
	})
}
