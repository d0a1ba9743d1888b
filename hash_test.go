package quiver

import (
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// icebergCases are what pyiceberg makes of key values; testdata/iceberg/buckets.py writes them.
type icebergCases struct {
	One []struct {
		Type    string
		Value   any
		Hash    uint32
		Buckets map[string]int32
	}
	Several []struct {
		Types   []string
		Values  []any
		Buckets map[string]int32
	}
}

func readIcebergCases(t *testing.T) icebergCases {
	t.Helper()
	text, err := os.ReadFile("testdata/iceberg/buckets.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases icebergCases
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases.One) < 200 || len(cases.Several) < 50 {
		t.Fatalf("%d and %d cases", len(cases.One), len(cases.Several))
	}
	return cases
}

// icebergValue is the value of a case in the Go type that ParseDefault gives.
func icebergValue(t *testing.T, dt arrow.DataType, value any) any {
	t.Helper()
	text, ok := value.(string)
	if !ok {
		return value // nil and bool
	}
	switch dt.ID() {
	case arrow.STRING, arrow.LARGE_STRING:
		return text
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.FIXED_SIZE_BINARY:
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		t.Fatalf("%s is no number", text)
	}
	switch dt.ID() {
	case arrow.INT8:
		return int8(n.Int64())
	case arrow.INT16:
		return int16(n.Int64())
	case arrow.INT32:
		return int32(n.Int64())
	case arrow.INT64:
		return n.Int64()
	case arrow.UINT8:
		return uint8(n.Uint64())
	case arrow.UINT16:
		return uint16(n.Uint64())
	case arrow.UINT32:
		return uint32(n.Uint64())
	case arrow.UINT64:
		return n.Uint64()
	case arrow.DECIMAL128:
		return decimal128.FromBigInt(n)
	case arrow.DECIMAL256:
		return decimal256.FromBigInt(n)
	case arrow.DATE32:
		return arrow.Date32(n.Int64())
	case arrow.DATE64:
		return arrow.Date64(n.Int64())
	case arrow.TIME32:
		return arrow.Time32(n.Int64())
	case arrow.TIME64:
		return arrow.Time64(n.Int64())
	case arrow.TIMESTAMP:
		return arrow.Timestamp(n.Int64())
	}
	t.Fatalf("no value of %s", dt)
	return nil
}

func TestHashIsIcebergs(t *testing.T) {
	for _, c := range readIcebergCases(t).One {
		dt, err := ParseType(c.Type)
		if err != nil {
			t.Fatal(err)
		}
		if !IsKeyType(dt) && dt.ID() != arrow.FIXED_SIZE_BINARY {
			t.Errorf("%s is not the type of a key", c.Type)
		}
		hash, ok := HashValue(dt, icebergValue(t, dt, c.Value))
		if !ok || hash != c.Hash {
			t.Errorf("%s %v: hash %d, %v, want %d", c.Type, c.Value, hash, ok, c.Hash)
		}
		for text, want := range c.Buckets {
			n, _ := strconv.Atoi(text)
			if got := BucketOf([]uint32{hash}, int32(n)); got != want {
				t.Errorf("%s %v: bucket %d of %d, want %d", c.Type, c.Value, got, n, want)
			}
		}
	}
}

func TestBucketOfSeveralColumns(t *testing.T) {
	for _, c := range readIcebergCases(t).Several {
		var hashes []uint32
		for i, name := range c.Types {
			dt, err := ParseType(name)
			if err != nil {
				t.Fatal(err)
			}
			hash, _ := HashValue(dt, icebergValue(t, dt, c.Values[i]))
			hashes = append(hashes, hash)
		}
		for text, want := range c.Buckets {
			n, _ := strconv.Atoi(text)
			if got := BucketOf(hashes, int32(n)); got != want {
				t.Errorf("%v %v: bucket %d of %d, want %d", c.Types, c.Values, got, n, want)
			}
		}
	}
}

// TestHashOfWhatIsNoKey: other types have no hash.
func TestHashOfWhatIsNoKey(t *testing.T) {
	for _, c := range []struct {
		dt    arrow.DataType
		value any
	}{
		{arrow.PrimitiveTypes.Float64, 1.5},
		{arrow.FixedWidthTypes.Duration_s, arrow.Duration(1)},
		{arrow.FixedWidthTypes.MonthInterval, arrow.MonthInterval(1)},
		{arrow.PrimitiveTypes.Int64, struct{}{}},
	} {
		if hash, ok := HashValue(c.dt, c.value); ok {
			t.Errorf("%s %v has hash %d", c.dt, c.value, hash)
		}
	}
}
