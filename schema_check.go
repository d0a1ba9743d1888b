package quiver

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// maxFaults bounds the faults that one error names; the rest is counted.
const maxFaults = 10

// maxFixedSize bounds what one row of nested fixed-size types holds: elements, or bytes of a binary.
const maxFixedSize = 16 << 20

// faultList gathers all that is wrong with one thing, so that the caller learns it at once.
type faultList struct {
	texts []string
	more  int
}

func (l *faultList) add(format string, args ...any) {
	if l.full() {
		l.more++
		return
	}
	l.texts = append(l.texts, fmt.Sprintf(format, args...))
}

// full says that further faults are only counted: their texts need not be made.
func (l *faultList) full() bool { return len(l.texts) == maxFaults }

// error gives nil if nothing is wrong.
func (l *faultList) error(reason Reason) error {
	if len(l.texts) == 0 {
		return nil
	}
	text := strings.Join(l.texts, "; ")
	if l.more > 0 {
		text += fmt.Sprintf("; and %d more", l.more)
	}
	return Errorf(reason, "%s", text)
}

// checkSchema names everything for which a table cannot have these columns, which are normalised.
func checkSchema(s *arrow.Schema) error {
	c := schemaChecker{}
	c.metadata(s.Metadata())
	seen := make(map[string]bool, s.NumFields())
	for _, f := range s.Fields() {
		if seen[f.Name] {
			c.names.add("there are two columns named %s", quote(f.Name))
		}
		seen[f.Name] = true
		if err := CheckName("column", f.Name); err != nil {
			c.names.add("%s", detailOf(err))
		} else {
			c.field(f.Name, f, 1, 1)
		}
	}
	if c.fields > MaxFields {
		c.types.add("there are more than %d columns and nested fields", MaxFields)
	}
	if c.metadataSize > MaxMetadata {
		c.types.add("the metadata has %d bytes, at most %d are allowed", c.metadataSize, MaxMetadata)
	}
	if len(c.types.texts) == 0 {
		return c.names.error(BadName)
	}
	c.types.texts = append(c.names.texts, c.types.texts...)
	return c.types.error(SchemaMismatch)
}

type schemaChecker struct {
	names, types faultList
	fields       int
	metadataSize int
}

func (c *schemaChecker) metadata(md arrow.Metadata) {
	for i, key := range md.Keys() {
		c.metadataSize += len(key) + len(md.Values()[i])
	}
}

// field checks one field and all below it. size counts the elements that a row holds of the field above it.
func (c *schemaChecker) field(path string, f arrow.Field, depth, size int) {
	c.fields++
	if c.fields > MaxFields {
		return
	}
	c.metadata(f.Metadata)
	if depth > MaxNesting {
		c.types.add("column %s is nested deeper than %d", quote(path), MaxNesting)
		return
	}
	if fault := typeFault(f.Type); fault != "" {
		c.types.add("column %s has type %s: %s", quote(path), shortType(f.Type), fault)
		return
	}
	if f.Type.ID() == arrow.NULL && !f.Nullable {
		c.types.add("column %s has type null and may not be null", quote(path))
	}
	switch t := f.Type.(type) {
	case *arrow.FixedSizeListType:
		size *= int(t.Len())
	case *arrow.FixedSizeBinaryType:
		size *= t.ByteWidth
	case *arrow.StructType:
	default:
		size = 1
	}
	if size > maxFixedSize {
		c.types.add("column %s: a row of %s holds more than %d elements", quote(path), shortType(f.Type), maxFixedSize)
		return
	}
	c.children(path, f.Type, depth, size)
}

func (c *schemaChecker) children(path string, dt arrow.DataType, depth, size int) {
	seen := map[string]bool{}
	for _, f := range fieldsOf(dt) {
		if fault := textFault(f.Name); fault != "" {
			c.names.add("column %s: the name of nested field %s %s", quote(path), quote(f.Name), fault)
			continue
		}
		if seen[f.Name] {
			c.names.add("column %s has two fields named %s", quote(path), quote(f.Name))
		}
		seen[f.Name] = true
		c.field(path+"."+f.Name, f, depth+1, size)
	}
}

// typeFault says why a table cannot have a normalised type, what is nested in it aside, or "".
func typeFault(dt arrow.DataType) string {
	switch t := dt.(type) {
	case arrow.UnionType:
		return "union types are not supported"
	case *arrow.Decimal32Type, *arrow.Decimal64Type:
		return "cast it to decimal128"
	case arrow.DecimalType:
		return decimalFault(t)
	case *arrow.FixedSizeBinaryType:
		if t.ByteWidth < 1 || t.ByteWidth > maxFixedSize {
			return fmt.Sprintf("the width must lie between 1 and %d", maxFixedSize)
		}
	case *arrow.FixedSizeListType:
		if t.Len() < 1 || t.Len() > maxFixedSize {
			return fmt.Sprintf("the length must lie between 1 and %d", maxFixedSize)
		}
	case *arrow.StructType:
		if t.NumFields() == 0 {
			return "a struct has at least one field"
		}
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			if fault := textFault(t.TimeZone); fault != "" {
				return "the time zone " + fault
			}
		}
	case *arrow.Time32Type:
		if t.Unit != arrow.Second && t.Unit != arrow.Millisecond {
			return "the unit must be s or ms"
		}
	case *arrow.Time64Type:
		if t.Unit != arrow.Microsecond && t.Unit != arrow.Nanosecond {
			return "the unit must be us or ns"
		}
	}
	if !knownType(dt) {
		return "the type is not supported"
	}
	return ""
}

func decimalFault(t arrow.DecimalType) string {
	most := int32(38)
	if t.BitWidth() == 256 {
		most = 76
	}
	switch precision, scale := t.GetPrecision(), t.GetScale(); {
	case precision < 1 || precision > most:
		return fmt.Sprintf("the precision must lie between 1 and %d", most)
	case scale < 0 || scale > precision:
		return "the scale must lie between 0 and the precision"
	}
	return ""
}

// knownType lists the normalised types that tables may have.
func knownType(dt arrow.DataType) bool {
	switch dt.ID() {
	case arrow.NULL, arrow.BOOL,
		arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64, arrow.DECIMAL128, arrow.DECIMAL256,
		arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY, arrow.FIXED_SIZE_BINARY,
		arrow.DATE32, arrow.DATE64, arrow.TIME32, arrow.TIME64, arrow.TIMESTAMP, arrow.DURATION,
		arrow.INTERVAL_MONTHS, arrow.INTERVAL_DAY_TIME, arrow.INTERVAL_MONTH_DAY_NANO,
		arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST, arrow.STRUCT, arrow.MAP:
		return true
	}
	return false
}

// shortType formats a type for an error, cut short if it is long.
func shortType(dt arrow.DataType) string {
	const most = 200
	text := FormatType(dt)
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
