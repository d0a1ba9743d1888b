package kv

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

var keyTypes = []arrow.DataType{
	arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
	arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
	arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary,
	&arrow.FixedSizeBinaryType{ByteWidth: 3}, &arrow.Decimal128Type{Precision: 20, Scale: 3}, &arrow.Decimal256Type{Precision: 50, Scale: 3},
	arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date64, arrow.FixedWidthTypes.Time32ms, arrow.FixedWidthTypes.Time64us,
	&arrow.TimestampType{Unit: arrow.Nanosecond}, &arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"},
}

// randomRaw gives a value as it stands in Arrow's buffer: small, large, negative.
func randomRaw(r *rand.Rand, dt arrow.DataType) []byte {
	k, width := kindOf(dt)
	switch {
	case k == kindBool:
		return []byte{byte(r.IntN(2))}
	case k.isVar():
		width = r.IntN(5)
	}
	raw := make([]byte, width)
	for i := range raw {
		raw[i] = []byte{0, 1, 2, 0x7f, 0x80, 0xfe, 0xff}[r.IntN(7)]
	}
	return raw
}

// TestKeysSortAsValues compares the order of encoded keys with that of the values, and reads them back.
func TestKeysSortAsValues(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		columns := make([]keyColumn, 1+r.IntN(3))
		var a, b []byte
		want := 0
		var values [][]byte
		for i := range columns {
			dt := keyTypes[r.IntN(len(keyTypes))]
			columns[i] = newKeyColumn(i, arrow.Field{Type: dt})
			x, y := randomRaw(r, dt), randomRaw(r, dt)
			if r.IntN(2) == 0 {
				y = x
			}
			if want == 0 {
				want = compareValues(dt, x, y)
			}
			a, b = columns[i].append(a, x), columns[i].append(b, y)
			values = append(values, x)
		}
		if got := bytes.Compare(a, b); got != want {
			t.Fatalf("keys %x and %x compare as %d, their values as %d", a, b, got, want)
		}
		rest := a
		for i := range columns {
			var raw []byte
			var err error
			if raw, rest, err = columns[i].take(rest, nil); err != nil || !bytes.Equal(raw, values[i]) {
				t.Fatalf("%x is read as %x, %v", values[i], raw, err)
			}
		}
		if len(rest) > 0 {
			t.Fatalf("%x is left over", rest)
		}
	}
}

// TestGoldenKeys holds the format of keys: what is stored today is found tomorrow.
func TestGoldenKeys(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		dt   arrow.DataType
		raw  []byte
		want string
	}{
		{arrow.FixedWidthTypes.Boolean, []byte{1}, "01"},
		{arrow.PrimitiveTypes.Int8, []byte{0xff}, "7f"},
		{arrow.PrimitiveTypes.Int32, le.AppendUint32(nil, 1), "80000001"},
		{arrow.PrimitiveTypes.Int64, le.AppendUint64(nil, 1<<64-2), "7ffffffffffffffe"},
		{arrow.PrimitiveTypes.Uint64, le.AppendUint64(nil, 1<<63), "8000000000000000"},
		{arrow.BinaryTypes.String, nil, "0001"},
		{arrow.BinaryTypes.String, []byte("a\x00b"), "6100ff620001"},
		{arrow.BinaryTypes.LargeBinary, []byte{0xff, 0}, "ff00ff0001"},
		{&arrow.FixedSizeBinaryType{ByteWidth: 2}, []byte{0, 7}, "0007"},
		{&arrow.Decimal128Type{Precision: 5, Scale: 2}, append(le.AppendUint64(nil, 1<<64-1), bytes.Repeat([]byte{0xff}, 8)...), "7fffffffffffffffffffffffffffffff"},
		{arrow.FixedWidthTypes.Date32, le.AppendUint32(nil, 20_000), "80004e20"},
		{&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, le.AppendUint64(nil, 5), "8000000000000005"},
	} {
		k := newKeyColumn(0, arrow.Field{Type: c.dt})
		if got := hex.EncodeToString(k.append(nil, c.raw)); got != c.want {
			t.Errorf("%s %x is the key %s, want %s", c.dt, c.raw, got, c.want)
		}
	}
	id := quiver.BucketID{Table: 1, Partition: 2, Bucket: 3}
	if got, want := fmt.Sprintf("%x", rowsKey(id)), "62"+"0000000000000001"+"0000000000000002"+"00000003"+"01"; got != want {
		t.Errorf("rows begin with %s, want %s", got, want)
	}
}

// FuzzTakeKey reads damaged keys: an error, never a panic, and what is read is written as it was.
func FuzzTakeKey(f *testing.F) {
	f.Add([]byte("a\x00\xffb\x00\x01"), uint8(9))
	f.Add([]byte{0x80, 0, 0, 1}, uint8(3))
	f.Add([]byte{0}, uint8(11))
	f.Fuzz(func(t *testing.T, key []byte, which uint8) {
		k := newKeyColumn(0, arrow.Field{Type: keyTypes[int(which)%len(keyTypes)]})
		raw, rest, err := k.take(key, nil)
		if err == nil && !bytes.Equal(append(k.append(nil, raw), rest...), key) {
			t.Fatalf("%x is read as %x and %x", key, raw, rest)
		}
	})
}
