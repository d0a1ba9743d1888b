package record

import (
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// fuzzUser is a table, and what a batch of it that passed the gate is put through.
type fuzzUser struct {
	table   *quiver.Table
	layout  *Layout
	divider *Divider
	mapping *quiver.Mapping // to a later schema
	later   *Layout
}

// fuzzUsers are tables between whose columns every stored layout is.
func fuzzUsers(t testing.TB) []fuzzUser {
	var users []fuzzUser
	for i, types := range [][]arrow.DataType{
		{arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String},
		{arrow.FixedWidthTypes.Boolean, arrow.BinaryTypes.LargeString, &arrow.Decimal128Type{Precision: 9}, arrow.FixedWidthTypes.Date64, arrow.Null},
		{arrow.PrimitiveTypes.Uint8, arrow.ListOf(arrow.PrimitiveTypes.Int32), arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64)},
		{arrow.FixedWidthTypes.Timestamp_ms, arrow.StructOf(arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int16},
			arrow.Field{Name: "y", Type: arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), Nullable: true}), arrow.PrimitiveTypes.Float64},
	} {
		v := &versions{r: rand.New(rand.NewPCG(uint64(i), 1))}
		var fields []arrow.Field
		for k, typ := range types {
			fields = append(fields, v.fresh(arrow.Field{Name: string(rune('a' + k)), Type: typ, Nullable: true}))
		}
		u := fuzzUser{}
		schema := v.schema(t, fields, nil)
		var err error
		u.layout, err = NewLayout(schema)
		must(t, err)
		options, err := quiver.ParseOptions(nil)
		must(t, err)
		id, _ := quiver.FieldID(fields[0])
		u.table = &quiver.Table{Schema: schema, Buckets: 7, Options: options, BucketKey: []quiver.ColumnID{id}}
		if i > 0 {
			u.table.PartitionBy = u.table.BucketKey
		}
		u.divider, err = NewDivider(u.table, u.layout)
		must(t, err)
		later := v.schema(t, v.evolveFields(fields, false), nil)
		u.mapping = mustMap(t, schema, later)
		u.later, err = NewLayout(later)
		must(t, err)
		users = append(users, u)
	}
	return users
}

// use puts a batch through everything that is done with one between the gate and a reader. Whatever passed the gate,
// none of it panics, and what comes out is sound.
func (u *fuzzUser) use(t *testing.T, b *Batch) {
	t.Helper()
	rows := make([]int32, 0, b.Rows()/2)
	for i := b.Rows() - 1; i >= 0; i -= 2 {
		rows = append(rows, int32(i))
	}
	check := func(what string, out *Batch, err error) {
		if err == nil {
			mustBeAligned(t, what, out, 8)
			mustPassAgain(t, what, out)
			out.Release()
		} else if quiver.ReasonOf(err) == quiver.Internal {
			t.Fatalf("%s: %v", what, err)
		}
	}
	out, err := b.Select(rows)
	check("selected", out, err)
	out, err = b.Convert(u.mapping, u.later)
	check("converted", out, err)
	shares, err := u.divider.Divide(b)
	total := 0
	for _, s := range shares {
		total += s.Batch.Rows()
		check("share", s.Batch, nil)
	}
	if err == nil && total != b.Rows() || err != nil && quiver.ReasonOf(err) != quiver.SchemaMismatch {
		t.Fatalf("%d rows in the shares of %d: %v", total, b.Rows(), err)
	}
	b.Summarize(NewSummary(nil))
	b.Stamp(Stamp{}, 1)
	meta, _ := b.Stored()
	m, err := ParseHeader(meta, 1)
	must(t, err)
	s := m.Stats(u.layout)
	for _, c := range u.table.Schema.Columns() {
		s.Column(c.ID)
	}
}

// FuzzUse: what passed the gate can be selected from, converted, divided and summarised.
func FuzzUse(f *testing.F) {
	users := fuzzUsers(f)
	r := rand.New(rand.NewPCG(1, 1))
	for i, u := range users {
		for _, rows := range []int{9, 300} {
			rec := fuzzRecord(r, u.layout.Schema(), rows)
			for _, c := range codecs {
				m := streamOf(f, u.layout.Schema(), []arrow.RecordBatch{rec}, c.options...)[1]
				f.Add(uint8(i), m.meta, m.body)
				for range 3 {
					m := mutated(r, m)
					f.Add(uint8(i), m.meta, m.body)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, meta, body []byte) {
		u := &users[int(which)%len(users)]
		live := buf.Live()
		if b, err := pass(u.layout, rawMessage{meta, body}, fuzzLimits, nil); err == nil {
			if b.Rows() <= 1<<12 { // more rows cost time and show nothing else
				u.use(t, b)
			}
			b.Release()
		}
		if now := buf.Live(); now != live {
			t.Fatalf("%d buffers are held", now-live)
		}
	})
}

// FuzzStats: whatever stands in a header's statistics, reading them neither panics nor allocates much more than it is
// long.
func FuzzStats(f *testing.F) {
	data, l, rec := goldenStats(f)
	rec.Release()
	_, _, stored := readSegment(f, data)
	text := stored[0].meta.stats
	f.Add(text)
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		f.Add(mutated(r, rawMessage{text, nil}).meta)
	}
	f.Add([]byte("AgMA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m := &Meta{stats: text}
		ids := l.columnIDs()
		if got := allocated(func() {
			s := m.Stats(l)
			for _, id := range ids {
				s.Column(id)
			}
		}); got > uint64(8*len(text)+512*len(ids)+4096) {
			t.Fatalf("%d bytes of statistics: allocated %d", len(text), got)
		}
	})
}
