package quiver

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
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
}

// optionTable holds every option there is. One without apply is known, and refused unless it asks for the default.
var optionTable = []option{
	{"replication-factor", "1", "copies of every bucket", func(o *Options, s string) error { return parseOnly(&o.ReplicationFactor, s, 1) }},
	{"min-isr", "1", "copies that must have a row before it is acknowledged", func(o *Options, s string) error { return parseOnly(&o.MinISR, s, 1) }},
	{"retention.time", "7d", "how long rows are kept, or none", func(o *Options, s string) error { return keepsAll(parseDurationOrNone(&o.RetentionTime, s), s, "7d") }},
	{"retention.bytes", "none", "how much is kept of each bucket", func(o *Options, s string) error { return keepsAll(parseSizeOrNone(&o.RetentionBytes, s), s, "none") }},
	{"retention.local.time", "", "as retention.time, on the servers once it is tiered", nil},
	{"retention.local.bytes", "", "as retention.bytes, on the servers once it is tiered", nil},
	{"segment.bytes", "256MiB", "when a segment is closed, by size", func(o *Options, s string) error { return parseSegmentBytes(&o.SegmentBytes, s) }},
	{"segment.age", "1h", "when a segment is closed, by age", func(o *Options, s string) error { return parseDuration(&o.SegmentAge, s) }},
	{"writer.expiry", "7d", "how long a silent writer is remembered", func(o *Options, s string) error { return parseDuration(&o.WriterExpiry, s) }},
	{"compression", "as-sent", "what bodies are when the server writes them anew", func(o *Options, s string) error {
		return parseWord(&o.Compression, s, "as-sent", "none", "lz4", "zstd")
	}},
	{"statistics", "all", "columns with statistics in the batch header", nil},
	{"bucket.assignment", "sticky", "how rows without a key find their bucket", nil},
	{"partition.auto", "none", "partitions made by the clock", nil},
	{"partition.time-zone", "", "the time zone of partition.auto", nil},
	{"partition.precreate", "2", "partitions made ahead", nil},
	{"partition.retain", "7", "partitions kept", nil},
	{"partition.create-on-write", "true", "whether a row makes its partition", nil},
	{"merge-engine", "last-row", "how rows of one key become one", nil},
	{"merge-engine.version-column", "", "the version of a row", nil},
	{"delete-behavior", "allow", "what a delete does", nil},
	{"changelog-image", "full", "what a changelog holds", nil},
	{"changelog.no-op", "skip", "whether an upsert that changes nothing is in the changelog", nil},
	{"auto-increment", "none", "the column that counts up", nil},
	{"tier", "false", "whether old rows move to remote storage", nil},
	{"tier.freshness", "3m", "how far remote storage may lag", nil},
	{"tier.iceberg", "true", "whether remote storage is an Iceberg table", nil},
}

// keepsAll refuses a retention that this version would not carry out: rows go by log.delete-before only. It is better
// to refuse than to keep what somebody relies upon to be gone.
func keepsAll(err error, text, usual string) error {
	if err != nil || text == usual || text == "none" {
		return err
	}
	return fmt.Errorf("this version supports none or leaving it out only, not %q: delete rows with log.delete-before", text)
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
// asks for what happens anyway: nothing is silently ignored. All faults are named in one error, BAD_OPTION.
func ParseOptions(set map[string]string) (Options, error) {
	o := Options{set: maps.Clone(set)}
	for _, known := range optionTable {
		if known.apply == nil {
			continue
		}
		if err := known.apply(&o, known.usual); err != nil {
			return Options{}, Errorf(Internal, "default of option %s: %v", known.name, err)
		}
	}
	var faults faultList
	if len(set) > maxOptions {
		return Options{}, Errorf(BadOption, "there are %d options, at most %d are taken", len(set), maxOptions)
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if err := o.apply(name, set[name]); err != nil {
			faults.add("%v", err)
		}
	}
	if err := faults.error(BadOption); err != nil {
		return Options{}, err
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
	case i < 0 && strings.HasPrefix(name, "aggregate."):
		return fmt.Errorf("option %s is not supported by this version", quote(name))
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

// parseOnly reads a count of which this version supports one value.
func parseOnly(to *int, text string, only int) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return fmt.Errorf("%s is no positive integer", quote(text))
	}
	if n != only {
		return fmt.Errorf("one node supports %d only, not %d", only, n)
	}
	*to = n
	return nil
}

func parseWord(to *string, text string, words ...string) error {
	if !slices.Contains(words, text) {
		return fmt.Errorf("%s is none of %s%s", quote(text), strings.Join(words, ", "), suggest(text, words))
	}
	*to = text
	return nil
}

func parseDurationOrNone(to *time.Duration, text string) error {
	if text == "none" {
		*to = 0
		return nil
	}
	return parseDuration(to, text)
}

func parseDuration(to *time.Duration, text string) error {
	d, err := ParseDuration(text)
	if err != nil {
		return err
	}
	if d < time.Second {
		return fmt.Errorf("%s is less than 1s", quote(text))
	}
	*to = d
	return nil
}

func parseSizeOrNone(to *int64, text string) error {
	if text == "none" {
		*to = 0
		return nil
	}
	n, err := ParseSize(text)
	if err == nil && n < 1 {
		err = fmt.Errorf("%s is not above 0 (to keep everything, write none)", quote(text))
	}
	if err != nil {
		return err
	}
	*to = n
	return nil
}

func parseSegmentBytes(to *int64, text string) error {
	n, err := ParseSize(text)
	if err == nil && (n < minSegmentBytes || n > maxSegmentBytes) {
		err = fmt.Errorf("%s does not lie between 64KiB and 16GiB", quote(text))
	}
	if err != nil {
		return err
	}
	*to = n
	return nil
}

// units are tried in order, so that "ms" comes before "s" and "MiB" before "B".
var (
	durationUnits = []unit{
		{"ms", int64(time.Millisecond)}, {"s", int64(time.Second)}, {"m", int64(time.Minute)},
		{"h", int64(time.Hour)}, {"d", int64(24 * time.Hour)},
	}
	sizeUnits = []unit{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}, {"", 1}}
)

type unit struct {
	name string
	size int64
}

// ParseDuration reads a whole number and its unit: 250ms, 90s, 5m, 12h, 7d.
func ParseDuration(text string) (time.Duration, error) {
	n, ok := parseUnits(text, durationUnits, int64(maxDuration))
	if !ok {
		return 0, fmt.Errorf("%s is no duration such as 90s, 12h or 7d, of at most 100 years", quote(text))
	}
	return time.Duration(n), nil
}

// ParseSize reads a whole number of bytes, or of the unit behind it: 4096, 64KiB, 256MiB, 1GiB.
func ParseSize(text string) (int64, error) {
	n, ok := parseUnits(text, sizeUnits, 1<<62)
	if !ok {
		return 0, fmt.Errorf("%s is no size such as 64MiB or 1GiB", quote(text))
	}
	return n, nil
}

func parseUnits(text string, units []unit, most int64) (int64, bool) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > most/u.size {
			return 0, false
		}
		return n * u.size, true
	}
	return 0, false
}
