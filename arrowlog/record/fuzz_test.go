package record

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
)

// fuzzSchemas are what fuzzed messages are taken for: between them, every layout there is.
func fuzzSchemas() []*arrow.Schema {
	var out []*arrow.Schema
	for _, types := range [][]arrow.DataType{
		{arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String},
		{arrow.FixedWidthTypes.Boolean, arrow.BinaryTypes.LargeString, &arrow.Decimal128Type{Precision: 9}, arrow.FixedWidthTypes.Date64, arrow.Null},
		{arrow.ListOf(arrow.PrimitiveTypes.Int32), arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64)},
		{arrow.StructOf(arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int16}, arrow.Field{Name: "y", Type: arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), Nullable: true})},
		{arrow.BinaryTypes.StringView, arrow.ListViewOf(arrow.PrimitiveTypes.Int32)},
		{arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String)},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}},
	} {
		fields := make([]arrow.Field, len(types))
		for i, t := range types {
			fields[i] = arrow.Field{Name: string(rune('a' + i)), Type: t, Nullable: true}
		}
		out = append(out, arrow.NewSchema(fields, nil))
	}
	return out
}

func fuzzRecord(r *rand.Rand, s *arrow.Schema, rows int) arrow.RecordBatch {
	cols := make([]arrow.Array, s.NumFields())
	for i, f := range s.Fields() {
		cols[i] = clientArray(r, f.Type, rows)
	}
	defer releaseAll(cols)
	return array.NewRecordBatch(s, cols, int64(rows))
}

// fuzzLimits are small, so that what goes beyond them shows.
var fuzzLimits = Limits{MaxBody: 1 << 20, MaxDecompressed: 1 << 20, MaxRatio: 1000}

// FuzzVerify: whatever bytes come, the gate neither panics nor allocates beyond its limits, and what it takes can be
// decoded, stored and loaded.
func FuzzVerify(f *testing.F) {
	schemas := fuzzSchemas()
	r := rand.New(rand.NewPCG(1, 1))
	layouts := make([]*Layout, len(schemas))
	dictionary := clientArray(r, schemas[6].Field(0).Type, 8).(*array.Dictionary).Dictionary()
	known := map[int64]arrow.Array{0: dictionary}
	for i, s := range schemas {
		layouts[i] = mustLayout(f, s)
		for _, c := range codecs {
			rec := fuzzRecord(r, s, 9)
			msgs := streamOf(f, s, []arrow.RecordBatch{rec}, c.options...)
			last := msgs[len(msgs)-1]
			f.Add(uint8(i), last.meta, last.body)
			for range 5 {
				m := mutated(r, last)
				f.Add(uint8(i), m.meta, m.body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, meta, body []byte) {
		l := layouts[int(which)%len(layouts)]
		live := buf.Live()
		var b *Batch
		var err error
		if got := allocated(func() { b, err = pass(l, rawMessage{meta, body}, fuzzLimits, known) }); got > 8<<20 {
			t.Fatalf("allocated %d", got)
		}
		if err == nil {
			checkShape(t, b)
			checkTaken(t, b, known)
			b.Release()
		}
		if now := buf.Live(); now != live {
			t.Fatalf("%d buffers are held", now-live)
		}
	})
}

// checkTaken uses a batch as the rest of the program would.
func checkTaken(t *testing.T, b *Batch, known map[int64]arrow.Array) {
	t.Helper()
	cols, err := b.arrays(known)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cols {
		if err := array.Validate(c); err != nil {
			t.Fatal(err)
		}
	}
	releaseAll(cols)
	if !b.layout.stored {
		return
	}
	seed := NewSeed(testBucket, 1)
	b.Stamp(Stamp{BaseOffset: 5}, seed)
	meta, parts := b.Stored()
	m, err := ParseHeader(meta, seed)
	if err != nil {
		t.Fatal(err)
	}
	body := buf.Wrap(bytes.Join(parts, nil))
	defer body.Release()
	loaded, err := Load(b.layout, m, body)
	if err != nil {
		t.Fatal(err)
	}
	loaded.Release()
}

// resealed makes the header's checksum match again, so that fuzzing reaches what lies behind it.
func resealed(meta []byte, seed Seed) []byte {
	at := bytes.Index(meta, []byte(keyHeader))
	if at < 0 || at+16+headerDigits > len(meta) || len(meta) < prefixSize {
		return meta
	}
	at += stringSize(len(keyHeader)) // from the key's text to the value's
	meta = bytes.Clone(meta)
	binary.LittleEndian.PutUint32(meta, continuation)
	binary.LittleEndian.PutUint32(meta[4:], uint32(len(meta)-prefixSize))
	if at+headerDigits <= len(meta) {
		copy(meta[at+atCRC:], zeroDigits)
		putHex(meta[at+atCRC:at+headerDigits], uint64(checksum(uint32(seed), meta)))
	}
	return meta
}

// FuzzParseHeader: metadata that lies, checksum and all, is refused or loads without a panic.
func FuzzParseHeader(f *testing.F) {
	r := rand.New(rand.NewPCG(2, 2))
	seed := NewSeed(testBucket, 1)
	var layouts []*Layout
	for _, s := range fuzzSchemas()[:4] {
		_, l := mustTable(f, s)
		layouts = append(layouts, l)
		rec := fuzzRecord(r, l.Schema(), 9)
		for _, codec := range []Compression{None, LZ4} {
			b, err := Encode(l, rec, codec)
			if err != nil {
				f.Fatal(err)
			}
			b.SetProducers([]Producer{{1, 1, 1, 4}, {2, 1, 1, 5}})
			b.Stamp(Stamp{BaseOffset: 5}, seed)
			meta, parts := b.Stored()
			f.Add(meta, bytes.Join(parts, nil))
			for range 5 {
				m := mutated(r, rawMessage{meta, nil})
				f.Add(m.meta, bytes.Join(parts, nil))
			}
		}
	}
	f.Fuzz(func(t *testing.T, meta, body []byte) {
		for _, data := range [][]byte{meta, resealed(meta, seed)} {
			var m *Meta
			var err error
			if got := allocated(func() { m, err = ParseHeader(data, seed) }); got > uint64(4*len(data)+1<<16) {
				t.Fatalf("allocated %d for %d bytes", got, len(data))
			}
			if err != nil {
				if quiver.ReasonOf(err) != quiver.CorruptRange {
					t.Fatal(err)
				}
				continue
			}
			_, _ = m.Producers()
			useMeta(m, layouts, body)
		}
	})
}

// useMeta loads what the metadata describes, in every way, from a body that need not be its own.
func useMeta(m *Meta, layouts []*Layout, body []byte) {
	if m.BodyLen > 1<<20 {
		return
	}
	whole := make([]byte, m.BodyLen)
	copy(whole, body)
	for _, l := range layouts {
		w := buf.Wrap(whole)
		if b, err := Load(l, m, w); err == nil {
			b.Release()
		}
		w.Release()
		cols := make([]int, 0, l.NumColumns())
		for c := 0; c < l.NumColumns(); c += 2 {
			cols = append(cols, c)
		}
		regions, err := m.Regions(l, cols)
		if err != nil {
			continue
		}
		parts := make([]*buf.Buf, len(regions))
		for i, r := range regions {
			parts[i] = buf.Wrap(whole[r.From:r.Until])
		}
		if b, err := LoadColumns(l, m, cols, parts); err == nil {
			b.Release()
		}
		for _, p := range parts {
			p.Release()
		}
	}
}

// FuzzSchema: neither a client's schema nor a segment's panics or makes us allocate much more than it is long.
func FuzzSchema(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, s := range fuzzSchemas() {
		fb, err := schemaMessage(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(fb)
		for range 5 {
			f.Add(mutated(r, rawMessage{fb, nil}).meta)
		}
	}
	table, _ := mustTable(f, fuzzSchemas()[2])
	head, err := EncodeSegmentSchema(table, SegmentIdentity{Bucket: testBucket, Salt: 9})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Fuzz(func(t *testing.T, data []byte) {
		limit := uint64(maxFields*2000 + 32*len(data))
		if got := allocated(func() {
			if s, ids, err := ParseSchema(data); err == nil {
				_, _ = InputLayout(s, ids)
			}
		}); got > limit {
			t.Fatalf("schema of %d bytes: allocated %d", len(data), got)
		}
		_, _, _ = ParseSegmentSchema(data)
		if len(data) > prefixSize {
			_, _, _ = ParseSegmentSchema(resealedSegment(data))
		}
	})
}

// resealedSegment makes a segment header's checksum match again.
func resealedSegment(data []byte) []byte {
	at := bytes.Index(data, []byte(keySegment))
	if at < 0 {
		return data
	}
	at += stringSize(len(keySegment))
	if at+segmentDigits > len(data) {
		return data
	}
	data = bytes.Clone(data)
	copy(data[at+atSegmentCRC:], zeroDigits)
	putHex(data[at+atSegmentCRC:at+segmentDigits], uint64(checksum(0, data)))
	return data
}

// Every single bit of a message flipped, and every length cut: the exhaustive part of the fuzzing.
func TestGateEveryBit(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for i, s := range fuzzSchemas() {
		l := mustLayout(t, s)
		rec := fuzzRecord(r, s, 9)
		for _, c := range codecs {
			msgs := streamOf(t, s, []arrow.RecordBatch{rec}, c.options...)
			m := msgs[len(msgs)-1]
			known := map[int64]arrow.Array{}
			if i == 6 {
				known[0] = rec.Column(0).(*array.Dictionary).Dictionary()
			}
			try := func(m rawMessage) {
				b, err := pass(l, m, fuzzLimits, known)
				if err == nil {
					checkShape(t, b)
					checkTaken(t, b, known)
					b.Release()
				}
			}
			for bit := range len(m.meta) * 8 {
				m.meta[bit/8] ^= 1 << (bit % 8)
				try(m)
				m.meta[bit/8] ^= 1 << (bit % 8)
			}
			for bit := range len(m.body) * 8 {
				m.body[bit/8] ^= 1 << (bit % 8)
				try(m)
				m.body[bit/8] ^= 1 << (bit % 8)
			}
			for n := range len(m.meta) {
				try(rawMessage{m.meta[:n], m.body})
			}
			for n := range len(m.body) {
				try(rawMessage{m.meta, m.body[:n]})
			}
		}
	}
}
