package quiver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Options are the parsed options of a table. The zero value is not valid: ParseOptions(nil) gives the defaults.
type Options struct {
	ReplicationFactor int           // copies of every bucket
	MinISR            int           // copies that must have a row before it is acknowledged
	RetentionTime     time.Duration // rows older than this may go; 0: never
	RetentionBytes    int64         // rows may go from a bucket larger than this; 0: never
	SegmentBytes      int64         // a segment this large is closed
	SegmentAge        time.Duration // a segment this old is closed
	WriterExpiry      time.Duration // a writer silent for this long is forgotten
	Compression       string        // what bodies are when the server writes them anew: "as-sent", "none", "lz4", "zstd"
	Statistics        []string      // columns with statistics in the batch header; nil: all; empty: none. See Table.StatisticsColumns
	RoundRobin        bool          // rows without bucket key go to the buckets in turn, batch by batch; else to one for a while
	CreateOnWrite     bool          // a row makes its partition, if there is none
	Auto              AutoPartition // partitions made and dropped by the clock
	Merging           Merging       // of tables with a primary key

	set map[string]string // what was set, in the words it was set with
}

// Bounds of options with which the server still works as it should.
const (
	minSegmentBytes = 64 << 10
	maxSegmentBytes = 16 << 30
	maxDuration     = 100 * 365 * 24 * time.Hour
	maxOptionText   = 4 << 10
	maxOptions      = 4096
)

// option is one row of the table of options.
type option struct {
	name    string
	usual   string // the default, as it is written; "" if it is none
	meaning string
	apply   func(o *Options, text string) error // nil: only the default can be had
	fixed   bool                                // it is decided when the table is created
	keyed   bool                                // it is for tables with a primary key
}

// optionTable holds every option there is. One without apply is known, and refused unless it asks for the default.
var optionTable = []option{
	{name: "replication-factor", usual: "1", meaning: "copies of every bucket",
		apply: func(o *Options, s string) error { return parseOnly(&o.ReplicationFactor, s, 1) }},
	{name: "min-isr", usual: "1", meaning: "copies that must have a row before it is acknowledged",
		apply: func(o *Options, s string) error { return parseOnly(&o.MinISR, s, 1) }},
	{name: "retention.time", usual: "7d", meaning: "how long rows are kept, or none: for ever",
		apply: func(o *Options, s string) error { return parseDurationOrNone(&o.RetentionTime, s) }},
	{name: "retention.bytes", usual: "none", meaning: "how much is kept of each bucket",
		apply: func(o *Options, s string) error { return parseSizeOrNone(&o.RetentionBytes, s) }},
	{name: "retention.local.time", meaning: "as retention.time, on the servers once it is tiered"},
	{name: "retention.local.bytes", meaning: "as retention.bytes, on the servers once it is tiered"},
	{name: "segment.bytes", usual: "256MiB", meaning: "when a segment is closed, by size",
		apply: func(o *Options, s string) error { return parseSegmentBytes(&o.SegmentBytes, s) }},
	{name: "segment.age", usual: "1h", meaning: "when a segment is closed, by age",
		apply: func(o *Options, s string) error { return parseDuration(&o.SegmentAge, s) }},
	{name: "writer.expiry", usual: "7d", meaning: "how long a silent writer is remembered",
		apply: func(o *Options, s string) error { return parseDuration(&o.WriterExpiry, s) }},
	{name: "compression", usual: "as-sent", meaning: "what bodies are when the server writes them anew",
		apply: func(o *Options, s string) error {
			return parseWord(&o.Compression, s, "as-sent", "none", "lz4", "zstd")
		}},
	{name: "statistics", usual: "all", meaning: "columns with statistics in the batch header: all, none, or names with commas between",
		apply: func(o *Options, s string) (err error) { o.Statistics, err = parseNames(s); return err }},
	{name: "bucket.assignment", usual: "sticky", meaning: "how rows without a key find their bucket: sticky or round-robin",
		apply: parseAssignment},
	{name: "partition.auto", usual: "none", meaning: "partitions made by the clock: hour, day, month, quarter, year",
		apply: func(o *Options, s string) error { return o.Auto.parseUnit(s) }},
	{name: "partition.time-zone", usual: "UTC", meaning: "the time zone of partition.auto",
		apply: func(o *Options, s string) error { return o.Auto.parseZone(s) }},
	{name: "partition.precreate", usual: "2", meaning: "partitions made ahead, the current one included",
		apply: func(o *Options, s string) error { return parseCount(&o.Auto.Precreate, s, maxPrecreate) }},
	{name: "partition.retain", usual: "7", meaning: "past partitions kept, or none: all of them",
		apply: func(o *Options, s string) error { return o.Auto.parseRetain(s) }},
	{name: "partition.create-on-write", usual: "true", meaning: "whether a row makes its partition",
		apply: func(o *Options, s string) error { return parseBool(&o.CreateOnWrite, s) }},
	{name: "merge-engine", usual: EngineLastRow, meaning: "how rows of one key become one: last-row, first-row, versioned, aggregation", fixed: true, keyed: true,
		apply: func(o *Options, s string) error {
			return parseWord(&o.Merging.Engine, s, EngineLastRow, EngineFirstRow, EngineVersioned, EngineAggregation)
		}},
	{name: "merge-engine.version-column", meaning: "the version of a row", fixed: true, keyed: true,
		apply: func(o *Options, s string) error { o.Merging.VersionColumn = s; return nil }},
	{name: "delete-behavior", usual: DeleteAllow, meaning: "what a delete does: allow, ignore, disable", keyed: true,
		apply: func(o *Options, s string) error {
			return parseWord(&o.Merging.Deletes, s, DeleteAllow, DeleteIgnore, DeleteDisable)
		}},
	{name: "changelog-image", usual: "full", meaning: "what a changelog holds: full, or wal (no row that an update replaces)", keyed: true,
		apply: func(o *Options, s string) error { return parseChoice(&o.Merging.OmitBefore, s, "full", "wal") }},
	{name: "changelog.no-op", usual: "skip", meaning: "whether an upsert that changes nothing is in the changelog: skip, emit", keyed: true,
		apply: func(o *Options, s string) error { return parseChoice(&o.Merging.EmitNoOp, s, "skip", "emit") }},
	{name: "auto-increment", usual: "none", meaning: "the column that the server counts up", fixed: true, keyed: true,
		apply: func(o *Options, s string) error { return parseColumnOrNone(&o.Merging.AutoIncrement, s) }},
	{name: "tier", usual: "false", meaning: "whether old rows move to remote storage"},
	{name: "tier.freshness", usual: "3m", meaning: "how far remote storage may lag"},
	{name: "tier.iceberg", usual: "true", meaning: "whether remote storage is an Iceberg table"},
}

// optionNames lists the options in the order of the table.
func optionNames() []string {
	names := make([]string, len(optionTable))
	for i, o := range optionTable {
		names[i] = o.name
	}
	return names
}

// ParseOptions reads the options of a table. Durations are written 90s, 12h, 7d, sizes 64MiB or in bytes.
//
// An option that this version does not have is refused, and so is one that it knows but cannot honour, unless it
// asks for what happens anyway: nothing is silently ignored. All faults are named in one error, BAD_OPTION. Whether the
// options fit a table, its keys and its columns, is checked where the table is made or altered.
func ParseOptions(set map[string]string) (Options, error) {
	var faults faultList
	o, err := parseOptions(set, &faults)
	if err == nil {
		err = faults.error(BadOption)
	}
	if err != nil {
		return Options{}, err
	}
	return o, nil
}

// parseOptions reads options and gathers their faults.
func parseOptions(set map[string]string, faults *faultList) (Options, error) {
	o := Options{set: maps.Clone(set)}
	for _, known := range optionTable {
		if known.apply == nil || known.usual == "" {
			continue
		}
		if err := known.apply(&o, known.usual); err != nil {
			return Options{}, Errorf(Internal, "default of option %s: %v", known.name, err)
		}
	}
	if len(set) > maxOptions {
		return Options{}, Errorf(BadOption, "there are %d options, at most %d are taken", len(set), maxOptions)
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if err := o.apply(name, set[name]); err != nil {
			faults.add("%v", err)
		}
	}
	return o, nil
}

// StoredOptions reads the options of a table that is there already. It takes them as they are: one that this version
// does not know or cannot honour, because a newer or an older one did, keeps its default and its words, so that no
// table is lost for an option.
func StoredOptions(set map[string]string) Options {
	o, err := ParseOptions(nil)
	if err != nil {
		panic(err) // the defaults are ours
	}
	o.set = maps.Clone(set)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		before := o
		if err := o.apply(name, set[name]); err != nil {
			o = before
		}
	}
	return o
}

func (o *Options) apply(name, text string) error {
	if len(text) > maxOptionText {
		return fmt.Errorf("option %s has a value of %d bytes, at most %d are taken", quote(name), len(text), maxOptionText)
	}
	i := slices.IndexFunc(optionTable, func(known option) bool { return known.name == name })
	switch {
	case i < 0 && strings.HasPrefix(name, aggregatePrefix):
		return o.setAggregate(name, text)
	case i < 0:
		return fmt.Errorf("there is no option %s%s", quote(name), suggest(name, optionNames()))
	case text == optionTable[i].usual, o.isTotal(name, text):
		return nil
	case optionTable[i].apply == nil:
		return fmt.Errorf("option %s: this version supports %s only, not %s", name, usualText(optionTable[i].usual), quote(text))
	}
	if err := optionTable[i].apply(o, text); err != nil {
		return fmt.Errorf("option %s: %w", name, err)
	}
	return nil
}

// isTotal says that a local retention is that of the whole table, which is its default.
func (o *Options) isTotal(name, text string) bool {
	rest, local := strings.CutPrefix(name, "retention.local.")
	return local && text == o.All()["retention."+rest]
}

func usualText(usual string) string {
	if usual == "" {
		return "leaving it out"
	}
	return quote(usual)
}

// Map gives the options that were set, in the words they were set with. ParseOptions of it gives the same Options.
func (o Options) Map() map[string]string {
	if o.set == nil {
		return map[string]string{}
	}
	return maps.Clone(o.set)
}

// All gives every option that is in force, defaults included; those without a value are left out.
func (o Options) All() map[string]string {
	all := o.Map()
	for _, known := range optionTable {
		if _, ok := all[known.name]; !ok && known.usual != "" {
			all[known.name] = known.usual
		}
	}
	return all
}
