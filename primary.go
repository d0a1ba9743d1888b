package quiver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
)

// ChangeTypeID is the id of the change type among the columns of a changelog: what Iceberg reserves for its own.
const ChangeTypeID = ColumnID(2147483543)

// ExpectedOffsetID is the id of the expected offset among the columns of a conditional put. It is never stored.
const ExpectedOffsetID = ColumnID(2147483497)

// Keyed says that the table has a primary key: its rows are upserted, and its log is the changelog.
func (t *Table) Keyed() bool { return len(t.PrimaryKey) > 0 }

// LogSchema is the schema of what the table's log holds: its own, and of a primary-key table the change type behind it.
func (t *Table) LogSchema() *Schema {
	if !t.Keyed() {
		return t.Schema
	}
	return t.Schema.WithChangeType()
}

// changeTypeField is the change type as it is stored.
var changeTypeField = arrow.Field{Name: ChangeTypeColumn, Type: arrow.PrimitiveTypes.Int8}

// WithChangeType is the schema of the changelog of rows of this one: the same columns, and behind them the change type
// as int8. It has the same id.
func (s *Schema) WithChangeType() *Schema {
	s.changelog.once.Do(func() { s.changelog.schema = s.addChangeType() })
	return s.changelog.schema
}

// changelogSchema is made when it is first asked for.
type changelogSchema struct {
	once   sync.Once
	schema *Schema
}

func (s *Schema) addChangeType() *Schema {
	ids := make([]ColumnID, 0, len(s.columns)+1)
	defaults := make(map[string]any)
	for _, c := range s.columns {
		ids = appendIDs(ids, c.Field)
		if c.Default != nil {
			defaults[c.Field.Name] = c.Default
		}
	}
	md := s.arrow.Metadata()
	plain := arrow.NewSchema(append(s.arrow.Fields(), changeTypeField), &md)
	made, err := newSchema(s.id, plain, defaults, &idGiver{given: append(ids, ChangeTypeID), last: s.lastColumn})
	if err != nil {
		panic("quiver: a schema's own defaults do not fit it: " + err.Error())
	}
	return made
}

// WithoutChangeType is the schema that WithChangeType was made of, or the schema itself if it has no change type.
func (s *Schema) WithoutChangeType() (*Schema, error) {
	n := len(s.columns) - 1
	if n < 1 || s.columns[n].ID != ChangeTypeID {
		return s, nil
	}
	var ids []ColumnID
	for _, c := range s.columns[:n] {
		ids = appendIDs(ids, c.Field)
	}
	md := s.arrow.Metadata()
	return newSchema(s.id, arrow.NewSchema(s.arrow.Fields()[:n], &md), nil, &idGiver{given: ids, last: s.lastColumn})
}

// inputFields are the columns that a put of a primary-key table may have beside the table's.
var inputFields = map[ColumnID]arrow.Field{
	ChangeTypeID:     {Name: ChangeTypeColumn, Type: arrow.BinaryTypes.String},
	ExpectedOffsetID: {Name: ExpectedOffsetColumn, Type: arrow.PrimitiveTypes.Int64, Nullable: true},
}

// Pick is the schema of some of the columns, in the order of the schema, with change types as text (ChangeTypeID) and
// expected offsets (ExpectedOffsetID) behind them if they are asked for: what a put of a primary-key table sends. It has
// the same id. An id that the schema does not have is INTERNAL.
func (s *Schema) Pick(ids []ColumnID, system ...ColumnID) (*Schema, error) {
	var fields []arrow.Field
	var given []ColumnID
	defaults := make(map[string]any)
	for i, c := range s.columns {
		if !slices.Contains(ids, c.ID) {
			continue
		}
		fields = append(fields, s.arrow.Field(i))
		given = appendIDs(given, c.Field)
		if c.Default != nil {
			defaults[c.Field.Name] = c.Default
		}
	}
	if len(fields) != len(ids) {
		return nil, Errorf(Internal, "%d columns were asked for, and %d are there", len(ids), len(fields))
	}
	for _, id := range system {
		fields, given = append(fields, inputFields[id]), append(given, id)
	}
	return newSchema(s.id, arrow.NewSchema(fields, nil), defaults, &idGiver{given: given, last: s.lastColumn})
}

// setPrimaryKey sets the primary key and, where none was given, the bucket key of it.
func (t *Table) setPrimaryKey(primaryKey, bucketKey []string) error {
	if len(primaryKey) == 0 {
		return nil
	}
	var faults faultList
	t.PrimaryKey = t.keyColumns("primary_key", primaryKey, &faults)
	if len(faults.texts) > 0 {
		return faults.error(BadCommand)
	}
	if !subset(t.PartitionBy, t.PrimaryKey) {
		faults.add("primary_key: it has to contain the columns of partition_by, so that a key is in one partition")
	}
	if len(bucketKey) > 0 {
		if !subset(t.BucketKey, t.PrimaryKey) {
			faults.add("bucket_key: it has to be part of the primary key, so that a key is in one bucket")
		}
		return faults.error(BadCommand)
	}
	t.BucketKey = slices.DeleteFunc(slices.Clone(t.PrimaryKey), func(id ColumnID) bool { return slices.Contains(t.PartitionBy, id) })
	if len(t.BucketKey) == 0 {
		faults.add("primary_key: it has to have a column beside those of partition_by")
	}
	return faults.error(BadCommand)
}

// requireKey makes the columns of a primary key such that may not be null.
func requireKey(s *arrow.Schema, primaryKey []string) *arrow.Schema {
	if len(primaryKey) == 0 {
		return s
	}
	fields := s.Fields()
	for i := range fields {
		if slices.Contains(primaryKey, fields[i].Name) {
			fields[i].Nullable = false
		}
	}
	md := s.Metadata()
	return arrow.NewSchemaWithEndian(fields, &md, s.Endianness())
}

// The words of options of primary-key tables.
const (
	EngineLastRow     = "last-row"
	EngineFirstRow    = "first-row"
	EngineVersioned   = "versioned"
	EngineAggregation = "aggregation"

	DeleteAllow   = "allow"
	DeleteIgnore  = "ignore"
	DeleteDisable = "disable"
)

// Merging is how the rows of a key become one: the options of primary-key tables.
type Merging struct {
	Engine        string               // EngineLastRow …
	VersionColumn string               // of EngineVersioned
	Aggregates    map[string]Aggregate // of EngineAggregation, by column
	Deletes       string               // DeleteAllow …
	OmitBefore    bool                 // the changelog holds no row that an update replaces
	EmitNoOp      bool                 // an upsert that changes nothing is in the changelog
	AutoIncrement string               // the column that the server counts up; "": none
}

// Aggregate is the function by which the values of a column become one.
type Aggregate struct {
	Function  string
	Delimiter string // of listagg, "" for ","
}

// DefaultFunction is that of columns for which none is given.
const DefaultFunction = "last_value_ignore_nulls"

// aggregateFunctions lists the functions. Those of values and lists take any type that they can.
var aggregateFunctions = []string{"sum", "product", "max", "min", "last_value", "last_value_ignore_nulls", "first_value",
	"first_value_ignore_nulls", "listagg", "bool_and", "bool_or", "rbm32", "rbm64"}

// AggregateFunctions lists the names of all functions.
func AggregateFunctions() []string { return slices.Clone(aggregateFunctions) }

// aggregateTakes says that a function can be used on values of a type.
func aggregateTakes(function string, dt arrow.DataType) bool {
	id := dt.ID()
	number := arrow.IsInteger(id) || arrow.IsDecimal(id) || id == arrow.FLOAT32 || id == arrow.FLOAT64
	switch function {
	case "sum", "product":
		return number
	case "max", "min":
		return number || IsKeyType(dt)
	case "listagg":
		return isOneOf(dt, arrow.STRING, arrow.LARGE_STRING)
	case "bool_and", "bool_or":
		return id == arrow.BOOL
	case "rbm32", "rbm64":
		return isOneOf(dt, arrow.BINARY, arrow.LARGE_BINARY)
	}
	return true
}

const (
	aggregatePrefix = "aggregate."
	delimiterSuffix = ".delimiter"
)

// setAggregate takes aggregate.<column> and aggregate.<column>.delimiter.
func (o *Options) setAggregate(name, text string) error {
	if o.Merging.Aggregates == nil {
		o.Merging.Aggregates = map[string]Aggregate{}
	}
	column := strings.TrimPrefix(name, aggregatePrefix)
	if base, ok := strings.CutSuffix(column, delimiterSuffix); ok {
		a := o.Merging.Aggregates[base]
		a.Delimiter = text
		o.Merging.Aggregates[base] = a
		return nil
	}
	if !slices.Contains(aggregateFunctions, text) {
		return fmt.Errorf("option %s: %s is none of %s%s", name, quote(text), strings.Join(aggregateFunctions, ", "), suggest(text, aggregateFunctions))
	}
	a := o.Merging.Aggregates[column]
	a.Function = text
	o.Merging.Aggregates[column] = a
	return nil
}

// checkMerging names what does not fit the table.
func (t *Table) checkMerging(o *Options, faults *faultList) {
	if !t.Keyed() {
		for name := range o.set {
			if i := optionIndex(name); strings.HasPrefix(name, aggregatePrefix) || i >= 0 && optionTable[i].keyed && o.set[name] != optionTable[i].usual {
				faults.add("option %s: it is for tables with a primary key", name)
			}
		}
		return
	}
	m := &o.Merging
	switch c := t.valueColumn("merge-engine.version-column", m.VersionColumn, faults); {
	case m.Engine == EngineVersioned && m.VersionColumn == "":
		faults.add("option merge-engine.version-column: merge-engine versioned needs it")
	case m.Engine != EngineVersioned && m.VersionColumn != "":
		faults.add("option merge-engine.version-column: only merge-engine versioned takes it")
	case c != nil && !arrow.IsInteger(c.Field.Type.ID()) && c.Field.Type.ID() != arrow.TIMESTAMP:
		faults.add("option merge-engine.version-column: column %s is %s, a version is an integer or a timestamp", quote(m.VersionColumn), shortType(c.Field.Type))
	}
	if c := t.valueColumn("auto-increment", m.AutoIncrement, faults); c != nil {
		switch {
		case !isOneOf(c.Field.Type, arrow.INT32, arrow.INT64):
			faults.add("option auto-increment: column %s is %s, take int32 or int64", quote(m.AutoIncrement), shortType(c.Field.Type))
		case c.Default != nil:
			faults.add("option auto-increment: column %s has a default", quote(m.AutoIncrement))
		}
	}
	t.checkAggregates(m, faults)
}

func (t *Table) checkAggregates(m *Merging, faults *faultList) {
	if len(m.Aggregates) > 0 && m.Engine != EngineAggregation {
		faults.add("option aggregate.*: it needs merge-engine aggregation")
		return
	}
	for name, a := range m.Aggregates {
		c := t.valueColumn(aggregatePrefix+name, name, faults)
		switch {
		case c == nil:
		case a.Function == "":
			faults.add("option aggregate.%s.delimiter: it needs aggregate.%[1]s", name)
		case a.Delimiter != "" && a.Function != "listagg":
			faults.add("option aggregate.%s.delimiter: only listagg takes one", name)
		case !aggregateTakes(a.Function, c.Field.Type):
			faults.add("option aggregate.%s: %s does not take %s", name, a.Function, shortType(c.Field.Type))
		}
	}
}

// valueColumn finds a column outside the primary key that an option names; nil for no name, or after a fault.
func (t *Table) valueColumn(option, name string, faults *faultList) *Column {
	if name == "" {
		return nil
	}
	c, ok := t.Schema.ByName(name)
	switch {
	case !ok:
		faults.add("option %s: there is no column %s%s", option, quote(name), suggest(name, t.Schema.Names()))
	case slices.Contains(t.PrimaryKey, c.ID):
		faults.add("option %s: column %s is part of the primary key", option, quote(name))
	default:
		return &c
	}
	return nil
}

// names lists the columns that the options of merging name.
func (m *Merging) names() []string {
	var names []string
	for name := range m.Aggregates {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range []string{m.VersionColumn, m.AutoIncrement} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// primaryKeyWord names the key in faults.
const primaryKeyWord = "primary key"

// followMerging has the options of merging name columns as they are called now. Those of a column that was dropped go
// with it, but for the version and the counter: without these the table would be another one, and checkMerging says so.
func (o *Options) followMerging(old *Table, now *Schema) {
	names := make(map[string]string) // as they were, and are
	for _, name := range old.Options.Merging.names() {
		if c, ok := old.Schema.ByName(name); ok {
			if renamed, ok := now.Column(c.ID); ok {
				names[name] = renamed.Field.Name
			} else {
				names[name] = ""
			}
		}
	}
	m, set := o.Merging, maps.Clone(o.set)
	for _, column := range []*string{&m.VersionColumn, &m.AutoIncrement} {
		if name := names[*column]; name != "" {
			*column = name
		}
	}
	if name := names[o.Merging.VersionColumn]; name != "" {
		set["merge-engine.version-column"] = name
	}
	if name := names[o.Merging.AutoIncrement]; name != "" {
		set["auto-increment"] = name
	}
	m.Aggregates = nil
	for name := range o.Merging.Aggregates {
		delete(set, aggregatePrefix+name)
		delete(set, aggregatePrefix+name+delimiterSuffix)
	}
	for name, a := range o.Merging.Aggregates {
		renamed, known := names[name]
		if !known {
			renamed = name
		}
		if renamed == "" {
			continue
		}
		if m.Aggregates == nil {
			m.Aggregates = map[string]Aggregate{}
		}
		m.Aggregates[renamed] = a
		for _, suffix := range []string{"", delimiterSuffix} {
			if text, given := o.set[aggregatePrefix+name+suffix]; given {
				set[aggregatePrefix+renamed+suffix] = text
			}
		}
	}
	o.Merging, o.set = m, set
}
