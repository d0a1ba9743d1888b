package filter

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// The obvious way: conditions are trees of functions over cells, evaluated row by row in three-valued logic. Nothing
// here uses the package's own code but Parse, Bind, Rows and MayMatch.

// cell is one value as it is compared: nil (null), bool, *big.Rat, notFinite, text or binary.
type cell any

type (
	notFinite float64 // NaN and the infinities
	text      string
	blob      string
)

// truth is a value of three-valued logic.
type truth int8

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// obviousCompare compares two cells that are not null; not ordered: one is NaN.
func obviousCompare(a, b cell) (order int, ordered bool) {
	switch x := a.(type) {
	case bool:
		y := b.(bool)
		switch {
		case x == y:
			return 0, true
		case y:
			return -1, true
		}
		return 1, true
	case text:
		return strings.Compare(string(x), string(b.(text))), true
	case blob:
		return strings.Compare(string(x), string(b.(blob))), true
	case notFinite:
		if y, ok := b.(notFinite); ok {
			if math.IsNaN(float64(y)) || math.IsNaN(float64(x)) {
				return 0, false
			}
			return int(math.Copysign(1, float64(x))-math.Copysign(1, float64(y))) / 2, true
		}
		if math.IsNaN(float64(x)) {
			return 0, false
		}
		return int(math.Copysign(1, float64(x))), true
	}
	if _, ok := b.(notFinite); ok {
		order, ordered = obviousCompare(b, a)
		return -order, ordered
	}
	return a.(*big.Rat).Cmp(b.(*big.Rat)), true
}

func obvious(o string, a, b cell) truth {
	if a == nil || b == nil {
		return unknown
	}
	order, ordered := obviousCompare(a, b)
	if !ordered {
		return truthOf(o == "!=")
	}
	switch o {
	case "=":
		return truthOf(order == 0)
	case "!=":
		return truthOf(order != 0)
	case "<":
		return truthOf(order < 0)
	case "<=":
		return truthOf(order <= 0)
	case ">":
		return truthOf(order > 0)
	}
	return truthOf(order >= 0)
}

// obviousLike matches by trying everything.
func obviousLike(s, pattern []rune) bool {
	switch {
	case len(pattern) == 0:
		return len(s) == 0
	case pattern[0] == '%':
		return obviousLike(s, pattern[1:]) || len(s) > 0 && obviousLike(s[1:], pattern)
	case len(s) == 0:
		return false
	case pattern[0] == '_':
		return obviousLike(s[1:], pattern[1:])
	case pattern[0] == '\\':
		return s[0] == pattern[1] && obviousLike(s[1:], pattern[2:])
	}
	return s[0] == pattern[0] && obviousLike(s[1:], pattern[1:])
}

// modelColumn is a column of random values.
type modelColumn struct {
	name string // as it is written in a filter
	dt   arrow.DataType
	kind string // what compares with what: "number", "text", …
	cell []cell // by row
	stat func(rows []int) quiver.ColumnStats
	id   quiver.ColumnID
	sys  string
	top  bool // statistics are known of it
}

// modelTable is a random table and its rows.
type modelTable struct {
	r       *rand.Rand
	rows    int
	schema  *quiver.Schema
	columns []*modelColumn
	top     []arrow.Field
	arrays  map[string]arrow.Array
}

func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("QUIVER_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed: QUIVER_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func flatModelTypes() []arrow.DataType {
	ts := func(u arrow.TimeUnit, zone string) arrow.DataType {
		return &arrow.TimestampType{Unit: u, TimeZone: zone}
	}
	return []arrow.DataType{
		arrow.Null, arrow.FixedWidthTypes.Boolean,
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
		arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
		arrow.FixedWidthTypes.Float16, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
		&arrow.Decimal128Type{Precision: 5, Scale: 2}, &arrow.Decimal128Type{Precision: 38, Scale: 0}, &arrow.Decimal128Type{Precision: 38, Scale: 38},
		&arrow.Decimal256Type{Precision: 76, Scale: 10}, &arrow.Decimal256Type{Precision: 76, Scale: 76}, &arrow.Decimal256Type{Precision: 40, Scale: 2},
		arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary,
		&arrow.FixedSizeBinaryType{ByteWidth: 2},
		arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date64,
		arrow.FixedWidthTypes.Time32s, arrow.FixedWidthTypes.Time32ms, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Time64ns,
		ts(arrow.Second, ""), ts(arrow.Millisecond, "UTC"), ts(arrow.Microsecond, ""), ts(arrow.Nanosecond, "Europe/Berlin"), ts(arrow.Nanosecond, ""), ts(arrow.Second, "UTC"),
		arrow.FixedWidthTypes.Duration_s, arrow.FixedWidthTypes.Duration_ms, arrow.FixedWidthTypes.Duration_us, arrow.FixedWidthTypes.Duration_ns,
		arrow.FixedWidthTypes.MonthInterval, arrow.FixedWidthTypes.DayTimeInterval, arrow.FixedWidthTypes.MonthDayNanoInterval,
		arrow.ListOf(arrow.PrimitiveTypes.Int32), arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int8),
	}
}

// newModelTable makes some random columns with random rows, one of them a struct, and the system columns.
func newModelTable(r *rand.Rand, rows int) *modelTable {
	m := &modelTable{r: r, rows: rows, arrays: map[string]arrow.Array{}}
	types := flatModelTypes()
	for i := range 5 + r.IntN(8) {
		m.addFlat(fmt.Sprintf("c%d", i), types[r.IntN(len(types))])
	}
	if r.IntN(2) == 0 { // several columns of one type, so that pairs are common
		for i := range 2 {
			m.addFlat(fmt.Sprintf("Same %d", i), types[1+r.IntN(len(types)-1)])
		}
	}
	m.addStruct()
	schema, err := quiver.NewSchema(1, arrow.NewSchema(m.top, nil), nil)
	if err != nil {
		panic(err)
	}
	m.schema = schema
	for _, c := range m.columns {
		if f, ok := schema.ByName(strings.Trim(strings.Split(c.name, ".")[0], `"`)); ok {
			c.id = f.ID
		}
	}
	m.addSystem()
	return m
}

func (m *modelTable) addFlat(name string, dt arrow.DataType) {
	values := m.values(dt, m.rows)
	m.top = append(m.top, arrow.Field{Name: name, Type: dt, Nullable: true})
	m.arrays[name] = buildColumn(dt, values)
	m.columns = append(m.columns, modelOf(quoteName(name), dt, values))
}

func quoteName(name string) string {
	if strings.Contains(name, " ") {
		return `"` + name + `"`
	}
	return name
}

// addStruct adds s: struct<a, b: struct<c>> of random types, with nulls at every level.
func (m *modelTable) addStruct() {
	types := flatModelTypes()
	a, c := types[1+m.r.IntN(len(types)-1)], types[1+m.r.IntN(len(types)-1)]
	aValues, cValues := m.values(a, m.rows), m.values(c, m.rows)
	inner := arrow.StructOf(arrow.Field{Name: "c", Type: c, Nullable: true})
	outer := arrow.StructOf(arrow.Field{Name: "a", Type: a, Nullable: true}, arrow.Field{Name: "b", Type: inner, Nullable: true})
	innerValid, outerValid := m.nulls(), m.nulls()
	b := buildStruct(inner, innerValid, buildColumn(c, cValues))
	m.arrays["s"] = buildStruct(outer, outerValid, buildColumn(a, aValues), b)
	m.top = append(m.top, arrow.Field{Name: "s", Type: outer, Nullable: true})
	outerRows, innerRows := make([]any, m.rows), make([]any, m.rows)
	for i := range m.rows {
		if !outerValid[i] {
			aValues[i], innerValid[i] = nil, false
		} else {
			outerRows[i] = true
		}
		if !innerValid[i] {
			cValues[i] = nil
		} else {
			innerRows[i] = true
		}
	}
	s := modelOf("s", outer, outerRows)
	sb := modelOf("s.b", inner, innerRows)
	sa, sc := modelOf("s.a", a, aValues), modelOf("s.b.c", c, cValues)
	sa.top, sc.top, sb.top = false, false, false
	m.columns = append(m.columns, s, sb, sa, sc)
}

func (m *modelTable) nulls() []bool {
	valid := make([]bool, m.rows)
	for i := range valid {
		valid[i] = m.r.IntN(5) > 0
	}
	return valid
}

func buildStruct(dt *arrow.StructType, valid []bool, fields ...arrow.Array) arrow.Array {
	bitmap := make([]byte, (len(valid)+7)/8)
	children := make([]arrow.ArrayData, len(fields))
	for i, v := range valid {
		if v {
			bitmap[i/8] |= 1 << (i % 8)
		}
	}
	for i, f := range fields {
		children[i] = f.Data()
	}
	data := array.NewData(dt, len(valid), []*memory.Buffer{memory.NewBufferBytes(bitmap)}, children, array.UnknownNullCount, 0)
	return array.NewStructData(data)
}

// addSystem adds the system columns in one of the layouts in which they come.
func (m *modelTable) addSystem() {
	first := int64(m.r.IntN(1000))
	words := quiver.ChangeTypeWords()
	offsets, changes := make([]any, m.rows), make([]any, m.rows)
	places := array.NewInt8Builder(memory.DefaultAllocator)
	for i := range m.rows {
		place := m.r.IntN(len(words))
		places.Append(int8(place))
		offsets[i], changes[i] = first+int64(i), words[place]
	}
	index := places.NewArray()
	dictionary := buildColumn(arrow.BinaryTypes.String, anys(words))
	changeArray := arrow.Array(array.NewDictionaryArray(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, index, dictionary))
	if m.r.IntN(2) == 0 {
		changeArray = index
	}
	m.system(quiver.OffsetColumn, offsets, nil)
	m.system(quiver.ChangeTypeColumn, changes, changeArray)
	m.system(quiver.BucketColumn, repeat(int32(m.r.IntN(4)), m.rows), nil)
	m.system(quiver.TimestampColumn, repeat(arrow.Timestamp(1763800000000+m.r.IntN(1000)), m.rows), nil)
	m.system(quiver.PartitionColumn, repeat("dt=2026-11-22", m.rows), nil)
}

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

func repeat(v any, n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func (m *modelTable) system(name string, values []any, arr arrow.Array) {
	f, _ := quiver.SystemField(name)
	dt := f.Type
	if d, ok := dt.(*arrow.DictionaryType); ok {
		dt = d.ValueType
	}
	if arr == nil {
		arr = buildColumn(dt, values)
		if m.rows > 0 && name != quiver.OffsetColumn && m.r.IntN(2) == 0 { // as one run
			ends := buildColumn(arrow.PrimitiveTypes.Int32, []any{int32(m.rows)})
			arr = array.NewRunEndEncodedArray(ends, buildColumn(dt, values[:1]), m.rows, 0)
		}
	}
	m.arrays[name] = arr
	c := modelOf(name, dt, values)
	c.sys = name
	m.columns = append(m.columns, c)
}

// values makes random values in the Go types that statistics have; nil is null.
func (m *modelTable) values(dt arrow.DataType, n int) []any {
	r := m.r
	nulls := []int{0, 20, 100}[r.IntN(3)]
	small := r.IntN(2) == 0 // few distinct values, so that equality happens
	out := make([]any, n)
	for i := range out {
		if nulls == 100 && r.IntN(4) > 0 || r.IntN(100) < nulls%100 {
			continue
		}
		out[i] = randomValue(r, dt, small)
	}
	return out
}

func randomValue(r *rand.Rand, dt arrow.DataType, small bool) any {
	integer := func(bits int) int64 {
		switch {
		case small || r.IntN(3) == 0:
			return int64(r.IntN(7)) - 3
		case r.IntN(3) == 0:
			return []int64{math.MinInt64, math.MaxInt64}[r.IntN(2)] >> (64 - bits)
		case r.IntN(3) == 0 && bits == 64:
			return int64(1)<<53 + int64(r.IntN(5)) - 2
		}
		return int64(r.Uint64()) >> (64 - bits)
	}
	switch t := dt.(type) {
	case *arrow.NullType:
		return nil
	case *arrow.BooleanType:
		return r.IntN(2) == 0
	case *arrow.Int8Type:
		return int8(integer(8))
	case *arrow.Int16Type:
		return int16(integer(16))
	case *arrow.Int32Type:
		return int32(integer(32))
	case *arrow.Int64Type:
		return integer(64)
	case *arrow.Uint8Type:
		return uint8(integer(8))
	case *arrow.Uint16Type:
		return uint16(integer(16))
	case *arrow.Uint32Type:
		return uint32(integer(32))
	case *arrow.Uint64Type:
		return uint64(integer(64))
	case *arrow.Float16Type:
		return float16.New(float32(randomFloat(r, small)))
	case *arrow.Float32Type:
		return float32(randomFloat(r, small))
	case *arrow.Float64Type:
		return randomFloat(r, small)
	case *arrow.Decimal128Type:
		return decimal128.FromBigInt(randomUnscaled(r, t.Precision, small))
	case *arrow.Decimal256Type:
		return decimal256.FromBigInt(randomUnscaled(r, t.Precision, small))
	case *arrow.StringType, *arrow.LargeStringType:
		return randomText(r)
	case *arrow.BinaryType, *arrow.LargeBinaryType:
		return []byte(randomText(r))
	case *arrow.FixedSizeBinaryType:
		return []byte{"ab\x00\xff"[r.IntN(4)], "ab\x00\xff"[r.IntN(4)]}
	case *arrow.Date32Type:
		return arrow.Date32(19000 + integer(16)%10000)
	case *arrow.Date64Type:
		return arrow.Date64((19000 + integer(16)%10000) * 86400000)
	case *arrow.Time32Type:
		return arrow.Time32(r.IntN(86400) * int(perSecond(t.Unit)))
	case *arrow.Time64Type:
		return arrow.Time64(int64(r.IntN(86400)) * perSecond(t.Unit))
	case *arrow.TimestampType:
		switch {
		case small:
			return arrow.Timestamp((19000*86400 + int64(r.IntN(3)) - 1) * perSecond(t.Unit))
		case r.IntN(5) == 0:
			return arrow.Timestamp(integer(64))
		}
		return arrow.Timestamp((19000+integer(16)%10000)*86400*perSecond(t.Unit) + int64(r.IntN(3)))
	case *arrow.DurationType:
		if small {
			return arrow.Duration((int64(r.IntN(5)) - 2) * perSecond(t.Unit))
		}
		return arrow.Duration(integer(64))
	}
	return true // something that is not null: these columns are not compared
}

func perSecond(u arrow.TimeUnit) int64 { return int64(time.Second) / int64(u.Multiplier()) }

func randomFloat(r *rand.Rand, small bool) float64 {
	switch k := r.IntN(12); {
	case k == 0:
		return math.NaN()
	case k == 1:
		return math.Inf(r.IntN(2)*2 - 1)
	case k == 2:
		return math.Copysign(0, -1)
	case small || k < 6:
		return float64(r.IntN(9)-4) / 2
	case k == 6:
		return []float64{math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64}[r.IntN(3)]
	case k == 7:
		return float64(int64(1)<<53 + int64(r.IntN(5)) - 2)
	case k == 8:
		return []float64{0.1, 1 << 63, -(1 << 63), 1 << 64}[r.IntN(4)]
	}
	return (r.Float64() - 0.5) * math.Pow10(r.IntN(20))
}

func randomUnscaled(r *rand.Rand, precision int32, small bool) *big.Int {
	n := big.NewInt(int64(r.IntN(1001) - 500))
	if small {
		return n.Mul(n.SetInt64(int64(r.IntN(5)-2)), big.NewInt(50))
	}
	for range r.IntN(5) {
		n.Mul(n, big.NewInt(r.Int64N(1e15)+1))
	}
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return n.Rem(n, limit)
}

func randomText(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(5) {
		b.WriteString([]string{"a", "b", "ä", "%", "_", "\\", "'", "日", "\x00", "A"}[r.IntN(10)])
	}
	return b.String()
}

// buildColumn makes an array, with garbage under the nulls where the type has room for it.
func buildColumn(dt arrow.DataType, values []any) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, dt)
	defer b.Release()
	for _, v := range values {
		if v == nil {
			b.AppendNull()
			continue
		}
		appendValue(b, v)
	}
	return b.NewArray()
}

func appendValue(b array.Builder, v any) {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Int8Builder:
		b.Append(v.(int8))
	case *array.Int16Builder:
		b.Append(v.(int16))
	case *array.Int32Builder:
		b.Append(v.(int32))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Uint8Builder:
		b.Append(v.(uint8))
	case *array.Uint16Builder:
		b.Append(v.(uint16))
	case *array.Uint32Builder:
		b.Append(v.(uint32))
	case *array.Uint64Builder:
		b.Append(v.(uint64))
	case *array.Float16Builder:
		b.Append(v.(float16.Num))
	case *array.Float32Builder:
		b.Append(v.(float32))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.Decimal128Builder:
		b.Append(v.(decimal128.Num))
	case *array.Decimal256Builder:
		b.Append(v.(decimal256.Num))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.LargeStringBuilder:
		b.Append(v.(string))
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.FixedSizeBinaryBuilder:
		b.Append(v.([]byte))
	case *array.Date32Builder:
		b.Append(v.(arrow.Date32))
	case *array.Date64Builder:
		b.Append(v.(arrow.Date64))
	case *array.Time32Builder:
		b.Append(v.(arrow.Time32))
	case *array.Time64Builder:
		b.Append(v.(arrow.Time64))
	case *array.TimestampBuilder:
		b.Append(v.(arrow.Timestamp))
	case *array.DurationBuilder:
		b.Append(v.(arrow.Duration))
	default:
		b.AppendEmptyValue()
	}
}

// modelOf makes the cells and the statistics of a column.
func modelOf(name string, dt arrow.DataType, values []any) *modelColumn {
	c := &modelColumn{name: name, dt: dt, kind: kindOf(dt), top: true}
	c.cell = make([]cell, len(values))
	for i, v := range values {
		if v != nil {
			c.cell[i] = cellOf(dt, v)
		}
	}
	c.stat = func(rows []int) quiver.ColumnStats { return naiveStats(c, values, rows) }
	return c
}

// naiveStats looks at every value. Text bounds are cut to two bytes.
func naiveStats(c *modelColumn, values []any, rows []int) quiver.ColumnStats {
	var s quiver.ColumnStats
	var least, most cell
	for _, row := range rows {
		v := c.cell[row]
		if v == nil {
			s.Nulls++
			continue
		}
		if c.kind == "other" || c.kind == "null" {
			continue
		}
		if f, ok := v.(notFinite); ok && math.IsNaN(float64(f)) {
			s.NaN = true
			continue
		}
		if least != nil {
			if order, _ := obviousCompare(v, least); order < 0 {
				least, s.Min = v, values[row]
			}
			if order, _ := obviousCompare(v, most); order > 0 {
				most, s.Max = v, values[row]
			}
			continue
		}
		least, most, s.Min, s.Max = v, v, values[row], values[row]
	}
	s.Min, s.Max = cutBound(s.Min, false), cutBound(s.Max, true)
	return s
}

func cutBound(v any, up bool) any {
	const most = 2
	end := ""
	if up {
		end = "\U0010FFFF\xff"
	}
	switch v := v.(type) {
	case string:
		if len(v) > most {
			return v[:most] + end
		}
	case []byte:
		if len(v) > most {
			return append(bytes.Clone(v[:most]), end...)
		}
	}
	return v
}

func kindOf(dt arrow.DataType) string {
	switch t := dt.(type) {
	case *arrow.NullType:
		return "null"
	case *arrow.BooleanType:
		return "bool"
	case *arrow.StringType, *arrow.LargeStringType:
		return "text"
	case *arrow.BinaryType, *arrow.LargeBinaryType, *arrow.FixedSizeBinaryType:
		return "binary"
	case *arrow.Date32Type, *arrow.Date64Type:
		return "date"
	case *arrow.Time32Type, *arrow.Time64Type:
		return "time"
	case *arrow.DurationType:
		return "duration"
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return "instant"
		}
		return "reading"
	}
	if arrow.IsInteger(dt.ID()) || arrow.IsFloating(dt.ID()) || arrow.IsDecimal(dt.ID()) {
		return "number"
	}
	return "other"
}

func ratio(unscaled *big.Int, scale int) *big.Rat {
	return new(big.Rat).SetFrac(unscaled, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
}

func seconds(n int64, u arrow.TimeUnit) *big.Rat { return big.NewRat(n, perSecond(u)) }

func floatCell(f float64) cell {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return notFinite(f)
	}
	return new(big.Rat).SetFloat64(f)
}

func cellOf(dt arrow.DataType, v any) cell {
	switch v := v.(type) {
	case bool:
		return v
	case int8, int16, int32, int64, uint8, uint16, uint32, uint64:
		n, _ := new(big.Rat).SetString(fmt.Sprint(v))
		return n
	case float16.Num:
		return floatCell(float64(v.Float32()))
	case float32:
		return floatCell(float64(v))
	case float64:
		return floatCell(v)
	case decimal128.Num:
		return ratio(v.BigInt(), int(dt.(arrow.DecimalType).GetScale()))
	case decimal256.Num:
		return ratio(v.BigInt(), int(dt.(arrow.DecimalType).GetScale()))
	case string:
		return text(v)
	case []byte:
		return blob(v)
	case arrow.Date32:
		return big.NewRat(int64(v)*86400, 1)
	case arrow.Date64:
		return big.NewRat(int64(v), 1000)
	case arrow.Time32:
		return seconds(int64(v), dt.(*arrow.Time32Type).Unit)
	case arrow.Time64:
		return seconds(int64(v), dt.(*arrow.Time64Type).Unit)
	case arrow.Timestamp:
		return seconds(int64(v), dt.(*arrow.TimestampType).Unit)
	case arrow.Duration:
		return seconds(int64(v), dt.(*arrow.DurationType).Unit)
	}
	panic(fmt.Sprintf("%T", v))
}
