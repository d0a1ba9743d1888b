package quiver

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// Types are written as pyarrow prints them: "timestamp[us, tz=UTC]", "list<item: struct<a: int64 not null>>".

// MaxNesting is how deep types may be nested: int32 is 1 deep, list<item: int32> 2.
const MaxNesting = 32

// maxTypeText bounds the text of one type.
const maxTypeText = 64 << 10

// flatTypes holds every type without parameters, under the name pyarrow prints and then those it takes.
var flatTypes = []struct {
	dt    arrow.DataType
	names []string
}{
	{arrow.Null, []string{"null"}},
	{arrow.FixedWidthTypes.Boolean, []string{"bool", "boolean"}},
	{arrow.PrimitiveTypes.Int8, []string{"int8", "i1"}},
	{arrow.PrimitiveTypes.Int16, []string{"int16", "i2"}},
	{arrow.PrimitiveTypes.Int32, []string{"int32", "i4"}},
	{arrow.PrimitiveTypes.Int64, []string{"int64", "i8"}},
	{arrow.PrimitiveTypes.Uint8, []string{"uint8", "u1"}},
	{arrow.PrimitiveTypes.Uint16, []string{"uint16", "u2"}},
	{arrow.PrimitiveTypes.Uint32, []string{"uint32", "u4"}},
	{arrow.PrimitiveTypes.Uint64, []string{"uint64", "u8"}},
	{arrow.FixedWidthTypes.Float16, []string{"halffloat", "float16", "f2"}},
	{arrow.PrimitiveTypes.Float32, []string{"float", "float32", "f4"}},
	{arrow.PrimitiveTypes.Float64, []string{"double", "float64", "f8"}},
	{arrow.BinaryTypes.String, []string{"string", "str", "utf8"}},
	{arrow.BinaryTypes.LargeString, []string{"large_string", "large_str", "large_utf8"}},
	{arrow.BinaryTypes.StringView, []string{"string_view"}},
	{arrow.BinaryTypes.Binary, []string{"binary"}},
	{arrow.BinaryTypes.LargeBinary, []string{"large_binary"}},
	{arrow.BinaryTypes.BinaryView, []string{"binary_view"}},
	{arrow.PrimitiveTypes.Date32, []string{"date32[day]", "date32"}},
	{arrow.PrimitiveTypes.Date64, []string{"date64[ms]", "date64"}},
	{arrow.FixedWidthTypes.Time32s, []string{"time32[s]"}},
	{arrow.FixedWidthTypes.Time32ms, []string{"time32[ms]"}},
	{arrow.FixedWidthTypes.Time64us, []string{"time64[us]"}},
	{arrow.FixedWidthTypes.Time64ns, []string{"time64[ns]"}},
	{arrow.FixedWidthTypes.Duration_s, []string{"duration[s]"}},
	{arrow.FixedWidthTypes.Duration_ms, []string{"duration[ms]"}},
	{arrow.FixedWidthTypes.Duration_us, []string{"duration[us]"}},
	{arrow.FixedWidthTypes.Duration_ns, []string{"duration[ns]"}},
	{arrow.FixedWidthTypes.MonthInterval, []string{"month_interval"}},
	{arrow.FixedWidthTypes.DayTimeInterval, []string{"day_time_interval"}},
	{arrow.FixedWidthTypes.MonthDayNanoInterval, []string{"month_day_nano_interval"}},
}

// otherTypes are the names of types with parameters.
var otherTypes = []string{
	"timestamp", "fixed_size_binary", "decimal32", "decimal64", "decimal128", "decimal256",
	"list", "large_list", "list_view", "large_list_view", "fixed_size_list", "struct", "map",
	"dictionary", "run_end_encoded", "dense_union", "sparse_union", "extension",
}

var flatByName = func() map[string]arrow.DataType {
	m := make(map[string]arrow.DataType)
	for _, t := range flatTypes {
		for _, name := range t.names {
			m[name] = t.dt
		}
	}
	return m
}()

// typeWords are the words a type may begin with, and typeNames all that is suggested for a wrong one.
var typeWords, typeNames = func() (map[string]bool, []string) {
	words, names := make(map[string]bool), append([]string(nil), otherTypes...)
	for _, t := range flatTypes {
		for _, name := range t.names {
			names = append(names, name)
			words[typeWord(name)] = true
		}
	}
	for _, name := range otherTypes {
		words[name] = true
	}
	return words, names
}()

// typeWord gives the letters, digits and underscores that s begins with.
func typeWord(s string) string {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return s[:i]
		}
	}
	return s
}

// FormatType writes a type as pyarrow prints it.
//
// Like there, names are not quoted, a map does not tell whether its values may be null, and metadata is left out.
func FormatType(dt arrow.DataType) string {
	var b strings.Builder
	formatType(&b, dt)
	return b.String()
}

func formatType(b *strings.Builder, dt arrow.DataType) {
	switch t := dt.(type) {
	case *arrow.TimestampType:
		b.WriteString("timestamp[" + t.Unit.String())
		if t.TimeZone != "" {
			b.WriteString(", tz=" + t.TimeZone)
		}
		b.WriteByte(']')
	case *arrow.FixedSizeBinaryType:
		fmt.Fprintf(b, "fixed_size_binary[%d]", t.ByteWidth)
	case arrow.DecimalType:
		fmt.Fprintf(b, "decimal%d(%d, %d)", t.BitWidth(), t.GetPrecision(), t.GetScale())
	case *arrow.FixedSizeListType:
		formatFields(b, "fixed_size_list", t.ElemField())
		fmt.Fprintf(b, "[%d]", t.Len())
	case *arrow.LargeListType:
		formatFields(b, "large_list", t.ElemField())
	case *arrow.ListType:
		formatFields(b, "list", t.ElemField())
	case *arrow.ListViewType:
		formatFields(b, "list_view", t.ElemField())
	case *arrow.LargeListViewType:
		formatFields(b, "large_list_view", t.ElemField())
	case *arrow.StructType:
		formatFields(b, "struct", t.Fields()...)
	case *arrow.MapType:
		b.WriteString("map<")
		formatType(b, t.KeyType())
		b.WriteString(", ")
		formatType(b, t.ItemType())
		if t.KeysSorted {
			b.WriteString(", keys_sorted")
		}
		b.WriteByte('>')
	case *arrow.DictionaryType:
		b.WriteString("dictionary<values=")
		formatType(b, t.ValueType)
		b.WriteString(", indices=")
		formatType(b, t.IndexType)
		if t.Ordered {
			b.WriteString(", ordered=1>")
		} else {
			b.WriteString(", ordered=0>")
		}
	case *arrow.RunEndEncodedType:
		b.WriteString("run_end_encoded<run_ends: ")
		formatType(b, t.RunEnds())
		b.WriteString(", values: ")
		formatType(b, t.Encoded())
		b.WriteByte('>')
	case arrow.UnionType:
		formatUnion(b, t)
	case arrow.ExtensionType:
		b.WriteString("extension<" + t.ExtensionName() + ">")
	default:
		b.WriteString(formatFlat(dt))
	}
}

func formatFlat(dt arrow.DataType) string {
	for _, t := range flatTypes {
		if t.dt.ID() == dt.ID() && arrow.TypeEqual(t.dt, dt) {
			return t.names[0]
		}
	}
	return dt.String()
}

func formatFields(b *strings.Builder, word string, fields ...arrow.Field) {
	b.WriteString(word)
	b.WriteByte('<')
	for i, f := range fields {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.Name)
		b.WriteString(": ")
		formatType(b, f.Type)
		if !f.Nullable {
			b.WriteString(" not null")
		}
	}
	b.WriteByte('>')
}

func formatUnion(b *strings.Builder, t arrow.UnionType) {
	word := "sparse_union<"
	if t.Mode() == arrow.DenseMode {
		word = "dense_union<"
	}
	b.WriteString(word)
	for i, f := range t.Fields() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.Name)
		b.WriteString(": ")
		formatType(b, f.Type)
		if !f.Nullable {
			b.WriteString(" not null")
		}
		fmt.Fprintf(b, "=%d", t.TypeCodes()[i])
	}
	b.WriteByte('>')
}

// ParseType reads a type as pyarrow prints it, and the aliases that pyarrow's type_for_alias takes.
//
// It is the inverse of FormatType, but for names that themselves hold ": " and a type after it. The error is
// BAD_COMMAND; it names the place and the nearest type.
func ParseType(text string) (arrow.DataType, error) {
	if len(text) > maxTypeText {
		return nil, Errorf(BadCommand, "a type has %d bytes, at most %d are taken", len(text), maxTypeText)
	}
	p := typeParser{text: text}
	dt, err := p.parse(1)
	if err == nil && p.pos < len(text) {
		err = p.fail("nothing more is expected here")
	}
	if err != nil {
		return nil, err
	}
	return dt, nil
}

// typeParser reads one type from left to right. Every call of parse goes one level deeper.
type typeParser struct {
	text string
	pos  int
}

func (p *typeParser) rest() string { return p.text[p.pos:] }

func (p *typeParser) fail(format string, args ...any) *Error {
	return Errorf(BadCommand, "type %s, position %d: %s", quote(p.text), p.pos, fmt.Sprintf(format, args...))
}

// expect moves over s, which must come next.
func (p *typeParser) expect(s string) error {
	if !p.take(s) {
		return p.fail("%q is expected", s)
	}
	return nil
}

// take moves over s if it comes next.
func (p *typeParser) take(s string) bool {
	if !strings.HasPrefix(p.rest(), s) {
		return false
	}
	p.pos += len(s)
	return true
}

func (p *typeParser) parse(depth int) (arrow.DataType, error) {
	if depth > MaxNesting {
		return nil, p.fail("nested deeper than %d", MaxNesting)
	}
	word := typeWord(p.rest())
	if !typeWords[word] {
		if word == "" {
			return nil, p.fail("a type is expected")
		}
		return nil, p.fail("there is no type %s%s", quote(word), suggest(word, typeNames))
	}
	start := p.pos
	p.pos += len(word)
	switch word {
	case "timestamp":
		return p.timestamp()
	case "fixed_size_binary":
		n, err := p.number("[", "]")
		return &arrow.FixedSizeBinaryType{ByteWidth: n}, err
	case "binary":
		if strings.HasPrefix(p.rest(), "[") {
			n, err := p.number("[", "]")
			return &arrow.FixedSizeBinaryType{ByteWidth: n}, err
		}
	case "decimal32", "decimal64", "decimal128", "decimal256":
		return p.decimal(word)
	case "list", "large_list", "list_view", "large_list_view", "fixed_size_list":
		return p.list(word, depth)
	case "struct":
		fields, err := p.fields(depth)
		if err != nil {
			return nil, err
		}
		return arrow.StructOf(fields...), nil
	case "map":
		return p.mapping(depth)
	case "dictionary":
		return p.dictionary(depth)
	case "run_end_encoded":
		return p.runEnd(depth)
	case "dense_union", "sparse_union":
		p.pos = start
		return nil, p.fail("union types are not supported")
	case "extension":
		p.pos = start
		return nil, p.fail("write the storage type; the extension is metadata of the field")
	}
	return p.flat(start, word)
}

// flat reads a type without parameters, of which some have a unit in brackets.
func (p *typeParser) flat(start int, word string) (arrow.DataType, error) {
	name := word
	if end := strings.IndexByte(p.rest(), ']'); strings.HasPrefix(p.rest(), "[") && end > 0 {
		name = p.text[start : p.pos+end+1]
	}
	dt, ok := flatByName[name]
	if !ok {
		p.pos = start
		return nil, p.fail("there is no type %s%s", quote(name), suggest(name, typeNames))
	}
	p.pos = start + len(name)
	return dt, nil
}

func (p *typeParser) timestamp() (arrow.DataType, error) {
	if err := p.expect("["); err != nil {
		return nil, err
	}
	var unit arrow.TimeUnit
	switch word := typeWord(p.rest()); word {
	case "s":
		unit = arrow.Second
	case "ms":
		unit = arrow.Millisecond
	case "us":
		unit = arrow.Microsecond
	case "ns":
		unit = arrow.Nanosecond
	default:
		return nil, p.fail("the unit must be s, ms, us or ns")
	}
	p.pos += len(typeWord(p.rest()))
	zone := ""
	if p.take(", tz=") {
		end := strings.IndexByte(p.rest(), ']')
		if end <= 0 {
			return nil, p.fail("a time zone and \"]\" are expected")
		}
		zone = p.rest()[:end]
		if fault := textFault(zone); fault != "" {
			return nil, p.fail("the time zone %s", fault)
		}
		p.pos += end
	}
	return &arrow.TimestampType{Unit: unit, TimeZone: zone}, p.expect("]")
}

// number reads a length from 0 to the largest int32 between two marks.
func (p *typeParser) number(open, end string) (int, error) {
	if err := p.expect(open); err != nil {
		return 0, err
	}
	n, err := p.integer()
	if err == nil && n < 0 {
		err = p.fail("a length cannot be negative")
	}
	if err == nil {
		err = p.expect(end)
	}
	return int(n), err
}

func (p *typeParser) integer() (int32, error) {
	end := 0
	for end < len(p.rest()) && (p.rest()[end] == '-' || p.rest()[end] >= '0' && p.rest()[end] <= '9') {
		end++
	}
	n, err := strconv.ParseInt(p.rest()[:end], 10, 32)
	if err != nil {
		return 0, p.fail("a 32-bit integer is expected")
	}
	p.pos += end
	return int32(n), nil
}

func (p *typeParser) decimal(word string) (arrow.DataType, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	start := p.pos
	precision, err := p.integer()
	if err != nil {
		return nil, err
	}
	scale := int32(0)
	if p.take(",") {
		p.take(" ")
		if scale, err = p.integer(); err != nil {
			return nil, err
		}
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	most := map[string]int32{"decimal32": 9, "decimal64": 18, "decimal128": 38, "decimal256": 76}[word]
	if precision < 1 || precision > most {
		p.pos = start
		return nil, p.fail("the precision of %s lies between 1 and %d", word, most)
	}
	switch word {
	case "decimal32":
		return &arrow.Decimal32Type{Precision: precision, Scale: scale}, nil
	case "decimal64":
		return &arrow.Decimal64Type{Precision: precision, Scale: scale}, nil
	case "decimal128":
		return &arrow.Decimal128Type{Precision: precision, Scale: scale}, nil
	}
	return &arrow.Decimal256Type{Precision: precision, Scale: scale}, nil
}

func (p *typeParser) list(word string, depth int) (arrow.DataType, error) {
	fields, err := p.fields(depth)
	if err != nil {
		return nil, err
	}
	if len(fields) != 1 {
		return nil, p.fail("%s has one field, as in %s<item: int32>", word, word)
	}
	switch word {
	case "large_list":
		return arrow.LargeListOfField(fields[0]), nil
	case "list_view":
		return arrow.ListViewOfField(fields[0]), nil
	case "large_list_view":
		return arrow.LargeListViewOfField(fields[0]), nil
	case "fixed_size_list":
		n, err := p.number("[", "]")
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, p.fail("a fixed_size_list has at least one element")
		}
		return arrow.FixedSizeListOfField(int32(n), fields[0]), nil
	}
	return arrow.ListOfField(fields[0]), nil
}

// fields reads "<name: type, name: type not null>".
func (p *typeParser) fields(depth int) ([]arrow.Field, error) {
	if err := p.expect("<"); err != nil {
		return nil, err
	}
	var fields []arrow.Field
	for !p.take(">") {
		if len(fields) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
			p.take(" ")
		}
		f, err := p.field(depth)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// field reads "name: type" or "name: type not null". Names are not quoted, so the name ends at the first ": "
// behind which a type begins.
func (p *typeParser) field(depth int) (arrow.Field, error) {
	start, first := p.pos, -1
	for at := start; ; {
		i := strings.Index(p.text[at:], ": ")
		if i < 0 {
			break
		}
		at += i
		if first < 0 {
			first = at
		}
		if !typeWords[typeWord(p.text[at+2:])] {
			at++
			continue
		}
		p.pos = at + 2
		dt, err := p.parse(depth + 1)
		if err != nil {
			return arrow.Field{}, err
		}
		return arrow.Field{Name: p.text[start:at], Type: dt, Nullable: !p.take(" not null")}, nil
	}
	if first < 0 {
		return arrow.Field{}, p.fail("a field is expected, as in \"item: int32\"")
	}
	p.pos = first + 2
	_, err := p.parse(depth + 1) // no type begins here: this says so
	return arrow.Field{}, err
}

// mapping reads "<key, value>"; the names of key and value, which pyarrow prints if they are unusual, are dropped.
func (p *typeParser) mapping(depth int) (arrow.DataType, error) {
	if err := p.expect("<"); err != nil {
		return nil, err
	}
	key, err := p.mapSide(depth)
	if err != nil {
		return nil, err
	}
	if err := p.expect(", "); err != nil {
		return nil, err
	}
	value, err := p.mapSide(depth)
	if err != nil {
		return nil, err
	}
	m := arrow.MapOf(key, value)
	m.KeysSorted = p.take(", keys_sorted")
	return m, p.expect(">")
}

func (p *typeParser) mapSide(depth int) (arrow.DataType, error) {
	dt, err := p.parse(depth + 1)
	if err != nil || !p.take(" ('") {
		return dt, err
	}
	end := strings.Index(p.rest(), "')")
	if end < 0 {
		return nil, p.fail("\"')\" is expected")
	}
	p.pos += end + 2
	return dt, nil
}

func (p *typeParser) dictionary(depth int) (arrow.DataType, error) {
	if err := p.expect("<values="); err != nil {
		return nil, err
	}
	values, err := p.parse(depth + 1)
	if err != nil {
		return nil, err
	}
	if err := p.expect(", indices="); err != nil {
		return nil, err
	}
	start := p.pos
	indices, err := p.parse(depth + 1)
	if err != nil {
		return nil, err
	}
	if !arrow.IsInteger(indices.ID()) {
		p.pos = start
		return nil, p.fail("the indices of a dictionary are integers")
	}
	ordered := false
	if p.take(", ordered=") {
		if ordered = p.take("1"); !ordered {
			if err := p.expect("0"); err != nil {
				return nil, err
			}
		}
	}
	return &arrow.DictionaryType{IndexType: indices, ValueType: values, Ordered: ordered}, p.expect(">")
}

func (p *typeParser) runEnd(depth int) (arrow.DataType, error) {
	if err := p.expect("<run_ends: "); err != nil {
		return nil, err
	}
	start := p.pos
	ends, err := p.parse(depth + 1)
	if err != nil {
		return nil, err
	}
	switch ends.ID() {
	case arrow.INT16, arrow.INT32, arrow.INT64:
	default:
		p.pos = start
		return nil, p.fail("run ends are int16, int32 or int64")
	}
	if err := p.expect(", values: "); err != nil {
		return nil, err
	}
	values, err := p.parse(depth + 1)
	if err != nil {
		return nil, err
	}
	return arrow.RunEndEncodedOf(ends, values), p.expect(">")
}
