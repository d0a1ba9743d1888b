package kv

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"math/bits"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// combine joins two values of a column, neither of which is null.
type combine func(dt arrow.DataType, now, next []byte) ([]byte, error)

// aggregate gives the value of a column after one more.
func aggregate(a quiver.Aggregate, dt arrow.DataType, now, next value) (value, error) {
	switch a.Function {
	case "last_value":
		return next, nil
	case "first_value":
		return now, nil
	}
	switch {
	case next.null:
		return now, nil
	case now.null:
		return next, checkBitmap(a.Function, next.raw)
	}
	switch a.Function {
	case "first_value_ignore_nulls":
		return now, nil
	case "listagg":
		return value{raw: slices.Concat(now.raw, []byte(a.Delimiter), next.raw)}, nil
	}
	f := combines[a.Function]
	if f == nil { // last_value_ignore_nulls
		return next, nil
	}
	raw, err := f(dt, now.raw, next.raw)
	return value{raw: raw}, err
}

var combines = map[string]combine{
	"sum":     sum,
	"product": product,
	"max": func(dt arrow.DataType, a, b []byte) ([]byte, error) {
		return pick(compareValues(dt, a, b) >= 0, a, b), nil
	},
	"min": func(dt arrow.DataType, a, b []byte) ([]byte, error) {
		return pick(compareValues(dt, a, b) <= 0, a, b), nil
	},
	"bool_and": func(_ arrow.DataType, a, b []byte) ([]byte, error) { return []byte{a[0] & b[0]}, nil },
	"bool_or":  func(_ arrow.DataType, a, b []byte) ([]byte, error) { return []byte{a[0] | b[0]}, nil },
	"rbm32":    unite32,
	"rbm64":    unite64,
}

func pick(first bool, a, b []byte) []byte {
	if first {
		return a
	}
	return b
}

var errOverflow = quiver.Errorf(quiver.SchemaMismatch, "the result does not fit the column's type").Advise("widen the column with table.alter")

func sum(dt arrow.DataType, a, b []byte) ([]byte, error) {
	return arithmetic(dt, a, b, func(x, y float64) float64 { return x + y }, (*big.Int).Add, addInt, addUint)
}

func product(dt arrow.DataType, a, b []byte) ([]byte, error) {
	if t, ok := dt.(arrow.DecimalType); ok {
		return multiplyDecimals(t, a, b)
	}
	return arithmetic(dt, a, b, func(x, y float64) float64 { return x * y }, (*big.Int).Mul, multiplyInt, multiplyUint)
}

// arithmetic does one operation in the kind of numbers that the type has. What does not fit is refused.
func arithmetic(dt arrow.DataType, a, b []byte, float func(x, y float64) float64, wide func(z, x, y *big.Int) *big.Int,
	whole func(x, y int64) (int64, bool), positive func(x, y uint64) (uint64, bool)) ([]byte, error) {
	switch id := dt.ID(); {
	case id == arrow.FLOAT32:
		return putInteger(uint64(math.Float32bits(float32(float(float64(float32Of(a)), float64(float32Of(b)))))), 4), nil
	case id == arrow.FLOAT64:
		return float64Bytes(float(float64Of(a), float64Of(b))), nil
	case arrow.IsDecimal(id):
		return putDecimal(dt.(arrow.DecimalType), wide(new(big.Int), decimalOf(a), decimalOf(b)))
	case arrow.IsUnsignedInteger(id):
		v, ok := positive(unsigned(a), unsigned(b))
		if !ok || v > math.MaxUint64>>(64-8*len(a)) {
			return nil, errOverflow
		}
		return putInteger(v, len(a)), nil
	}
	v, ok := whole(signed(a), signed(b))
	raw := putInteger(uint64(v), len(a))
	if !ok || signed(raw) != v {
		return nil, errOverflow
	}
	return raw, nil
}

func addInt(x, y int64) (int64, bool) { z := x + y; return z, (z > x) == (y > 0) }

func addUint(x, y uint64) (uint64, bool) { z, carry := bits.Add64(x, y, 0); return z, carry == 0 }

func multiplyInt(x, y int64) (int64, bool) {
	if x == 0 || y == 0 {
		return 0, true
	}
	z := x * y
	return z, z/y == x && !(x == -1 && y == math.MinInt64) && !(y == -1 && x == math.MinInt64)
}

func multiplyUint(x, y uint64) (uint64, bool) { high, low := bits.Mul64(x, y); return low, high == 0 }

// multiplyDecimals keeps the scale: digits that are too many are rounded half away from zero.
func multiplyDecimals(t arrow.DecimalType, a, b []byte) ([]byte, error) {
	z := new(big.Int).Mul(decimalOf(a), decimalOf(b))
	if scale := t.GetScale(); scale > 0 {
		unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
		half := new(big.Int).Rsh(unit, 1)
		if z.Sign() < 0 {
			half.Neg(half)
		}
		z.Quo(z.Add(z, half), unit)
	} else if scale < 0 {
		z.Mul(z, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-scale)), nil))
	}
	return putDecimal(t, z)
}

// decimalOf reads the digits of a decimal: two's complement, little-endian.
func decimalOf(raw []byte) *big.Int {
	be := slices.Clone(raw)
	slices.Reverse(be)
	v := new(big.Int).SetBytes(be)
	if be[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(be))))
	}
	return v
}

func putDecimal(t arrow.DecimalType, v *big.Int) ([]byte, error) {
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.GetPrecision())), nil)
	if v.CmpAbs(most) >= 0 {
		return nil, errOverflow
	}
	width := t.BitWidth() / 8
	if v.Sign() < 0 {
		v = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), uint(8*width)))
	}
	raw := v.FillBytes(make([]byte, width))
	slices.Reverse(raw)
	return raw, nil
}

// compareValues compares two values of a type that keys or aggregates may have. NaN is less than everything.
func compareValues(dt arrow.DataType, a, b []byte) int {
	switch id := dt.ID(); {
	case id == arrow.FLOAT32:
		return cmp.Compare(float32Of(a), float32Of(b))
	case id == arrow.FLOAT64:
		return cmp.Compare(float64Of(a), float64Of(b))
	case isText(id) || isBinary(id) || id == arrow.FIXED_SIZE_BINARY:
		return bytes.Compare(a, b)
	case arrow.IsDecimal(id):
		return decimalOf(a).Cmp(decimalOf(b))
	case arrow.IsUnsignedInteger(id) || id == arrow.BOOL:
		return cmp.Compare(unsigned(a), unsigned(b))
	}
	return cmp.Compare(signed(a), signed(b))
}

var errBitmap = quiver.Errorf(quiver.SchemaMismatch, "a value is no serialised roaring bitmap").Advise("send the portable format")

// maxBitmap bounds a bitmap that is taken, in bytes: reading one may take some times as much memory.
const maxBitmap = 64 << 20

// checkBitmap refuses a first value that later ones could not be joined with.
func checkBitmap(function string, raw []byte) (err error) {
	switch function {
	case "rbm32":
		_, err = read32(raw)
	case "rbm64":
		_, err = read64(raw)
	}
	return err
}

// read32 reads a bitmap that nobody vouches for.
func read32(raw []byte) (b *roaring.Bitmap, err error) {
	defer func() {
		if recover() != nil {
			err = errBitmap
		}
	}()
	b = roaring.New()
	if len(raw) > maxBitmap {
		return nil, errBitmap
	}
	if n, err := b.ReadFrom(bytes.NewReader(raw)); err != nil || n != int64(len(raw)) || b.Validate() != nil {
		return nil, errBitmap
	}
	return b, nil
}

func read64(raw []byte) (b *roaring64.Bitmap, err error) {
	defer func() {
		if recover() != nil {
			err = errBitmap
		}
	}()
	b = roaring64.New()
	// It begins with the number of 32-bit bitmaps in it, for which room is made on its word.
	if len(raw) > maxBitmap || len(raw) < 8 || unsigned(raw[:8]) > uint64(len(raw)/8) {
		return nil, errBitmap
	}
	if n, err := b.ReadFrom(bytes.NewReader(raw)); err != nil || n != int64(len(raw)) || b.Validate() != nil {
		return nil, errBitmap
	}
	return b, nil
}

func unite32(_ arrow.DataType, a, b []byte) ([]byte, error) {
	x, err := read32(a)
	if err != nil {
		return nil, err
	}
	y, err := read32(b)
	if err != nil {
		return nil, err
	}
	x.Or(y)
	return x.ToBytes()
}

func unite64(_ arrow.DataType, a, b []byte) ([]byte, error) {
	x, err := read64(a)
	if err != nil {
		return nil, err
	}
	y, err := read64(b)
	if err != nil {
		return nil, err
	}
	x.Or(y)
	return x.ToBytes()
}
