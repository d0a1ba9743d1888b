package quiver

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/endian"
	"pgregory.net/rapid"
)

func TestSchemaMessagesWithAndWithoutPrefix(t *testing.T) {
	want := schemaOf(t, "struct<a: int64 not null, b: map<string, list<item: dictionary<values=string, indices=int8, ordered=0>>>>")
	framed := FormatSchemaMessage(want)
	if len(framed)%8 != 0 || !bytes.HasPrefix(framed, continuation) {
		t.Errorf("%d bytes: %x", len(framed), framed[:8])
	}
	endOfStream := append(bytes.Clone(continuation), 0, 0, 0, 0)
	for _, message := range [][]byte{framed, framed[8:], append(bytes.Clone(framed), endOfStream...)} {
		got, err := ParseSchemaMessage(message)
		if err != nil || schemaText(got) != schemaText(want) {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestBigEndianSchemasStayBigEndian(t *testing.T) {
	big := arrow.NewSchemaWithEndian([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8}}, nil, endian.NonNativeEndian)
	s, err := ParseSchemaMessage(FormatSchemaMessage(big))
	if err != nil || s.IsNativeEndian() {
		t.Error(s, err)
	}
}

func TestAnySchemaComesBackFromItsMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawSchema(t)
		message := FormatSchemaMessage(want)
		got, err := ParseSchemaMessage(message)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(message, FormatSchemaMessage(got)) {
			t.Fatalf("%s came back as %s", schemaText(want), schemaText(got))
		}
	})
}

// TestDamagedSchemaMessages flips every bit of a message and cuts it at every length. Nothing panics, and nothing
// that is made of it is large.
func TestDamagedSchemaMessages(t *testing.T) {
	md := arrow.NewMetadata([]string{"k"}, []string{"v"})
	whole := FormatSchemaMessage(arrow.NewSchema(schemaOf(t, "struct<a: timestamp[us, tz=UTC], b: list<item: map<int8, decimal128(5, 2)>>>").Fields(), &md))
	try := func(message []byte) {
		s, err := ParseSchemaMessage(message)
		if err != nil && ReasonOf(err) != MalformedBatch {
			t.Fatal(err)
		}
		if err == nil {
			_, _ = NewSchema(1, s, nil)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range 8 * len(whole) {
		whole[i/8] ^= 1 << (i % 8)
		try(whole)
		whole[i/8] ^= 1 << (i % 8)
	}
	for i := range whole {
		try(whole[:i])
		try(whole[8:max(8, i)])
	}
	runtime.ReadMemStats(&after)
	if perMessage := (after.TotalAlloc - before.TotalAlloc) / uint64(10*len(whole)); perMessage > 100_000 {
		t.Errorf("a damaged message of %d bytes takes %d bytes of memory", len(whole), perMessage)
	}
}

// TestSchemaBombs has small messages that unfold to something huge: tables and strings named from many places.
func TestSchemaBombs(t *testing.T) {
	levels := arrow.PrimitiveTypes.Int8
	for range 40 {
		levels = arrow.StructOf(arrow.Field{Name: "l", Type: levels}, arrow.Field{Name: "r", Type: arrow.PrimitiveTypes.Int8})
	}
	deep := FormatSchemaMessage(arrow.NewSchema([]arrow.Field{{Name: "bomb", Type: levels}}, nil))
	folded := shareSiblings(deep)
	if folded == 0 {
		t.Fatal("no vector of two children found")
	}
	zones := []arrow.Field{{Name: "t", Type: &arrow.TimestampType{TimeZone: strings.Repeat("z", 100_000)}}}
	for range 200 {
		zones = append(zones, arrow.Field{Name: "t", Type: &arrow.TimestampType{TimeZone: "UTC"}})
	}
	wide := make([]arrow.Field, 2*MaxFields+1)
	for i := range wide {
		wide[i] = arrow.Field{Name: "c", Type: arrow.Null}
	}
	if s, err := ParseSchemaMessage(messageWithBody(0)); err != nil || s.NumFields() != 0 {
		t.Fatal(s, err)
	}
	chain := arrow.PrimitiveTypes.Int8
	for range 1000 {
		chain = arrow.ListOf(chain)
	}
	for name, c := range map[string]struct {
		message []byte
		want    string
	}{
		"two to the fortieth fields": {deep, "it has more than 20000 fields"},
		"long time zones":            {shareZones(FormatSchemaMessage(arrow.NewSchema(zones, nil))), "more than 16777216 bytes"},
		"many fields":                {FormatSchemaMessage(arrow.NewSchema(wide, nil)), "it has more than 20000 fields"},
		"a body":                     {messageWithBody(1 << 40), "it has a body"},
		"a chain of lists":           {FormatSchemaMessage(arrow.NewSchema([]arrow.Field{{Name: "a", Type: chain}}, nil)), "nested too deep"},
		"nothing":                    {nil, "no flatbuffer"},
		"its prefix only":            {continuation, "ends within its prefix"},
		"too short":                  {append(bytes.Clone(continuation), 100, 0, 0, 0, 1), "its length is 100, and 1 bytes are there"},
		"too long":                   {make([]byte, maxSchemaMessage+1), "at most 16777216 are taken"},
	} {
		_, err := ParseSchemaMessage(c.message)
		if ReasonOf(err) != MalformedBatch || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// shareSiblings makes every pair of children the same table, twice: what was a chain becomes a full binary tree.
// It finds the vectors of two offsets by their length and gives how many it changed.
func shareSiblings(message []byte) (changed int) {
	le := binary.LittleEndian
	for at := 8; at+12 <= len(message); at += 4 {
		first, second := int(le.Uint32(message[at+4:])), int(le.Uint32(message[at+8:]))
		inside := at+8+second+4 <= len(message) && at+4+first+4 <= len(message)
		if le.Uint32(message[at:]) != 2 || !inside || first < 8 || second < 4 || at+4+first <= at+8+second {
			continue
		}
		le.PutUint32(message[at+8:], uint32(first-4)) // both point to the first
		changed++
	}
	return changed
}

// shareZones gives all columns of type timestamp the time zone of the first.
func shareZones(message []byte) []byte {
	f := flatbuffer{data: message[8:]}
	fields, n := f.vector(f.table(f.root(), 2), 1, 4)
	zone := func(i int) int { return f.slot(f.table(f.follow(fields+4*i), 3), 1) }
	first := f.follow(zone(0))
	for i := range n {
		binary.LittleEndian.PutUint32(f.data[zone(i):], uint32(first-zone(i)))
	}
	return message
}

// messageWithBody is a Schema message without columns that claims a body. It is made by hand, with its vtable at 4,
// its table at 20, and the vtable and table of the empty schema behind them.
func messageWithBody(length uint64) []byte {
	le := binary.LittleEndian
	m := le.AppendUint32(nil, 20)
	for _, v := range []uint16{12, 24, 0, 4, 8, 16, 0, 0} {
		m = le.AppendUint16(m, v)
	}
	for _, v := range []uint32{16, 1, 20, 0} {
		m = le.AppendUint32(m, v)
	}
	m = le.AppendUint64(m, length)
	m = le.AppendUint16(m, 4)
	m = le.AppendUint16(m, 4)
	return le.AppendUint32(m, 4)
}

func FuzzParseSchemaMessage(f *testing.F) {
	golden, err := os.ReadFile("testdata/types.arrows")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden[:1<<14])
	for _, text := range []string{
		"struct<a: int64 not null>", "struct<a: dictionary<values=string, indices=int8, ordered=1>>",
		"struct<t: timestamp[ns, tz=UTC], m: map<string, list<item: fixed_size_list<item: float>[3]>>>",
	} {
		f.Add(FormatSchemaMessage(schemaOf(f, text)))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		s, err := ParseSchemaMessage(message)
		if err != nil {
			if ReasonOf(err) != MalformedBatch {
				t.Fatal(err)
			}
			return
		}
		NullColumns(s)
		table, err := NewSchema(1, s, nil)
		if err != nil {
			return
		}
		if m, err := MapInput(s, table); err != nil || len(m.Columns()) != s.NumFields() {
			t.Fatalf("the table of %v does not take it: %v", s, err)
		}
		if again, err := DecodeSchema(table.Encode()); err != nil || again.LastColumn() != table.LastColumn() {
			t.Fatalf("%v: %v", s, err)
		}
	})
}
