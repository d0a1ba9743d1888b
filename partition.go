package quiver

import (
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// Limits of partitions.
const (
	MaxPartitions       = 100_000   // of a table
	MaxPartitionBuckets = 1_000_000 // of a table: its partitions times its buckets
	MaxPartitionName    = 1024      // bytes of a partition's name
)

// Partition is one partition of a table: all rows with the same values in the partition columns.
type Partition struct {
	ID      PartitionID // from 1; 0 is the one partition of unpartitioned tables
	Name    string      // canonical: "dt=2026-11-22/region=eu"
	Created int64       // Unix milliseconds
}

// Partitioned says that the table's rows are divided into partitions.
func (t *Table) Partitioned() bool { return len(t.PartitionBy) > 0 }

// Partition gives a partition by its canonical name.
func (t *Table) Partition(name string) (Partition, bool) {
	i, ok := findPartition(t.Partitions, name)
	if !ok {
		return Partition{}, false
	}
	return t.Partitions[i], true
}

func findPartition(partitions []Partition, name string) (int, bool) {
	return slices.BinarySearchFunc(partitions, name, func(p Partition, name string) int { return strings.Compare(p.Name, name) })
}

// NullPartition stands in a partition's name for null. Text that happens to be the same is written with its first
// letter encoded.
const NullPartition = "__HIVE_DEFAULT_PARTITION__"

// PartitionName gives the canonical name of the partition that has these values, in the order of PartitionBy and in
// the Go types that ParseDefault gives; nil stands for null.
//
// Names and values are written as UTF-8, each byte except A-Za-z0-9._~- percent-encoded; values as Iceberg prints them:
//
//	integers, bool        -7, true
//	string                text; the empty one as nothing
//	binary                base64
//	decimal               12.50, with all digits of its scale
//	date                  2026-11-22
//	time                  10:30:00, 10:30:00.500000 if it has a fraction (nine digits if it needs them)
//	timestamp             2026-11-22T10:30:00, with a zone 2026-11-22T10:30:00+00:00
//	null                  __HIVE_DEFAULT_PARTITION__
//
// A value that has no such form (a year outside 1 to 9999), or a name above MaxPartitionName, is SCHEMA_MISMATCH.
func (t *Table) PartitionName(values []any) (string, error) {
	if len(values) != len(t.PartitionBy) {
		return "", Errorf(Internal, "%d values for %d partition columns", len(values), len(t.PartitionBy)).On("table " + t.Path())
	}
	var b []byte
	for i, id := range t.PartitionBy {
		c, ok := t.Schema.Column(id)
		if !ok {
			return "", Errorf(Internal, "partition column %d is missing", id).On("table " + t.Path())
		}
		if i > 0 {
			b = append(b, '/')
		}
		b = append(appendEncoded(b, c.Field.Name), '=')
		text, err := keyText(c.Field.Type, values[i])
		if err != nil {
			return "", Errorf(SchemaMismatch, "column %s: %s", quote(c.Field.Name), detailOf(err)).On("table " + t.Path())
		}
		b = appendPartitionValue(b, text, values[i] == nil)
	}
	if len(b) > MaxPartitionName {
		return "", Errorf(SchemaMismatch, "the partition's name has %d bytes, at most %d are allowed", len(b), MaxPartitionName).
			On("table " + t.Path()).Advise("partition by a column with short values")
	}
	return string(b), nil
}

func appendPartitionValue(b []byte, text string, null bool) []byte {
	switch {
	case null:
		return append(b, NullPartition...)
	case text == NullPartition:
		return append(append(b, "%5F"...), text[1:]...)
	}
	return appendEncoded(b, text)
}

// appendEncoded percent-encodes all but A-Za-z0-9._~-.
func appendEncoded(b []byte, text string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		c := text[i]
		if c == '.' || c == '~' || isNameRune(rune(c)) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// decodePercent undoes appendEncoded; what is not encoded stands for itself.
func decodePercent(text string) (string, bool) {
	if !strings.Contains(text, "%") {
		return text, true
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b = append(b, text[i])
			continue
		}
		if i+2 >= len(text) {
			return "", false
		}
		high, ok := hexDigit(text[i+1])
		low, both := hexDigit(text[i+2])
		if !ok || !both {
			return "", false
		}
		b = append(b, high<<4|low)
		i += 2
	}
	return string(b), true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// ParsePartition reads the name of a partition as anybody may write it: names are compared decoded, so what need not
// be encoded may be or not, the columns may stand in any order, and values in any form that their type takes.
//
// It gives the canonical name, which Table.Partition takes, and the values as PartitionName takes them. Whether there
// is such a partition is another question. The errors are PARTITION_NOT_FOUND for a table without partitions, and
// BAD_NAME, which names everything that is wrong.
func (t *Table) ParsePartition(name string) (canonical string, values []any, err error) {
	switch {
	case !t.Partitioned():
		return "", nil, Errorf(PartitionNotFound, "the table is not partitioned, there is no partition %s", quote(name)).
			On("table " + t.Path()).Advise("leave the partition out")
	case len(name) > 4*MaxPartitionName:
		return "", nil, t.badPartition("it has %d bytes, at most %d are allowed", len(name), MaxPartitionName)
	}
	texts, faults := t.partitionTexts(name)
	values = make([]any, len(t.PartitionBy))
	for i, id := range t.PartitionBy {
		c, _ := t.Schema.Column(id)
		text, given := texts[id]
		if !given {
			faults.add("column %s is missing", quote(c.Field.Name))
		} else if text != NullPartition {
			if values[i], err = parsePartitionValue(c.Field.Type, text); err != nil {
				faults.add("column %s: %v", quote(c.Field.Name), err)
			}
		}
	}
	if len(faults.texts) > 0 {
		e := faults.error(BadName).(*Error) //nolint:errorlint // it is ours
		return "", nil, t.badPartition("%s: %s", quote(name), e.Detail)
	}
	canonical, err = t.PartitionName(values)
	if err != nil {
		return "", nil, t.badPartition("%s: %s", quote(name), detailOf(err))
	}
	return canonical, values, nil
}

// badPartition is the error for a name that no partition of the table can have.
func (t *Table) badPartition(format string, args ...any) *Error {
	names := make([]string, 0, len(t.PartitionBy))
	for _, id := range t.PartitionBy {
		c, _ := t.Schema.Column(id)
		names = append(names, c.Field.Name+"=…")
	}
	return Errorf(BadName, "partition "+format, args...).On("table " + t.Path()).Advise("write it as " + strings.Join(names, "/"))
}

// partitionTexts takes a name apart: the text of each column's value, still encoded.
func (t *Table) partitionTexts(name string) (map[ColumnID]string, *faultList) {
	faults := &faultList{}
	texts := make(map[ColumnID]string, len(t.PartitionBy))
	known := make([]string, 0, len(t.PartitionBy))
	byName := make(map[string]ColumnID, len(t.PartitionBy))
	for _, id := range t.PartitionBy {
		c, _ := t.Schema.Column(id)
		known = append(known, c.Field.Name)
		byName[c.Field.Name] = id
	}
	for part := range strings.SplitSeq(name, "/") {
		column, value, ok := strings.Cut(part, "=")
		column, decoded := decodePercent(column)
		id, found := byName[column]
		_, twice := texts[id]
		switch {
		case !ok || !decoded:
			faults.add("%s is no column=value", quote(part))
		case !found:
			faults.add("%s is no partition column%s", quote(column), suggest(column, known))
		case twice:
			faults.add("column %s is there twice", quote(column))
		default:
			texts[id] = value
		}
	}
	return texts, faults
}

// RenamePartitions gives the partitions under the names they have with the table's columns. Values do not change with
// a column's name or with a wider type, so it is the names before "=" only.
func (t *Table) RenamePartitions(partitions []Partition) []Partition {
	if len(partitions) == 0 || t.JoinPartition(SplitPartition(partitions[0].Name)) == partitions[0].Name {
		return partitions
	}
	renamed := make([]Partition, len(partitions))
	for i, p := range partitions {
		renamed[i] = p
		renamed[i].Name = t.JoinPartition(SplitPartition(p.Name))
	}
	slices.SortFunc(renamed, func(a, b Partition) int { return strings.Compare(a.Name, b.Name) })
	return renamed
}

// SplitPartition gives the encoded values of a canonical name, "2026-11-22/eu" of "dt=2026-11-22/region=eu": what
// stays the same when a column is renamed.
func SplitPartition(name string) string {
	var values []string
	for part := range strings.SplitSeq(name, "/") {
		_, value, _ := strings.Cut(part, "=")
		values = append(values, value)
	}
	return strings.Join(values, "/")
}

// JoinPartition makes the canonical name of what SplitPartition gave; "" if it has another number of values than the
// table has partition columns.
func (t *Table) JoinPartition(values string) string {
	parts := strings.Split(values, "/")
	if len(parts) != len(t.PartitionBy) {
		return ""
	}
	var b []byte
	for i, id := range t.PartitionBy {
		c, _ := t.Schema.Column(id)
		if i > 0 {
			b = append(b, '/')
		}
		b = append(append(appendEncoded(b, c.Field.Name), '='), parts[i]...)
	}
	return string(b)
}

// IsKeyType says whether a column of this type may be a bucket key or a partition column: integers, bool, string,
// binary, decimal, date, time, timestamp.
func IsKeyType(dt arrow.DataType) bool {
	return isOneOf(dt, arrow.BOOL, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64,
		arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64, arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY,
		arrow.DECIMAL128, arrow.DECIMAL256, arrow.DATE32, arrow.DATE64, arrow.TIME32, arrow.TIME64, arrow.TIMESTAMP)
}
