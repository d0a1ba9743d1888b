package quiver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestOptions runs cases whose lines are "name value". The answer lists the options in force that differ from the
// defaults, or the faults.
func TestOptions(t *testing.T) {
	defaults, err := ParseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	runScript(t, "options.txt", func(input string) string {
		set := map[string]string{}
		for line := range strings.Lines(input) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			set[name] = value
		}
		o, err := ParseOptions(set)
		if err != nil {
			return strings.ReplaceAll(err.Error(), "; ", ";\n  ")
		}
		if !maps.Equal(o.Map(), set) {
			t.Errorf("%v is kept as %v", set, o.Map())
		}
		before, after := optionFields(defaults), optionFields(o)
		var changed []string
		for i := range after {
			if after[i] != before[i] {
				changed = append(changed, after[i])
			}
		}
		return strings.Join(append(changed, "ok"), "\n")
	})
}

func optionFields(o Options) []string {
	return []string{
		fmt.Sprint("ReplicationFactor ", o.ReplicationFactor), fmt.Sprint("MinISR ", o.MinISR),
		fmt.Sprint("RetentionTime ", o.RetentionTime), fmt.Sprint("RetentionBytes ", o.RetentionBytes),
		fmt.Sprint("SegmentBytes ", o.SegmentBytes), fmt.Sprint("SegmentAge ", o.SegmentAge),
		fmt.Sprint("WriterExpiry ", o.WriterExpiry), fmt.Sprint("Compression ", o.Compression),
		fmt.Sprintf("Statistics %q", formatNames(o.Statistics)), fmt.Sprint("RoundRobin ", o.RoundRobin),
		fmt.Sprint("CreateOnWrite ", o.CreateOnWrite),
		fmt.Sprintf("Auto %s in %s, %d ahead, %d kept", o.Auto.Unit, o.Auto.Zone, o.Auto.Precreate, o.Auto.Retain),
	}
}

func TestOptionDefaults(t *testing.T) {
	o, err := ParseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	want := Options{ReplicationFactor: 1, MinISR: 1, RetentionTime: 7 * day, SegmentBytes: 256 << 20, SegmentAge: time.Hour,
		WriterExpiry: 7 * day, Compression: "as-sent", CreateOnWrite: true, Auto: AutoPartition{Zone: time.UTC, Precreate: 2, Retain: 7}}
	if got := optionFields(o); !slices.Equal(got, optionFields(want)) {
		t.Error(got)
	}
	if o.Map() == nil || len(o.Map()) != 0 || o.All()["segment.bytes"] != "256MiB" {
		t.Error(o.Map(), o.All())
	}
	// Asking for what happens anyway is never refused.
	again, err := ParseOptions(o.All())
	if err != nil || !slices.Equal(optionFields(again), optionFields(o)) {
		t.Error(again, err)
	}
	for _, row := range optionTable {
		if row.meaning == "" || Nearest(row.name+"x", optionNames()) == "" {
			t.Errorf("option %s has no meaning or is never suggested", row.name)
		}
	}
}

// TestEveryOptionOfTheContractIsKnown holds the names of the contract's table of options.
func TestEveryOptionOfTheContractIsKnown(t *testing.T) {
	for name := range strings.FieldsSeq(`replication-factor min-isr retention.time retention.bytes retention.local.time
		retention.local.bytes segment.bytes segment.age writer.expiry compression statistics bucket.assignment partition.auto
		partition.time-zone partition.precreate partition.retain partition.create-on-write merge-engine
		merge-engine.version-column aggregate.price aggregate.price.delimiter delete-behavior changelog-image
		changelog.no-op auto-increment tier tier.freshness tier.iceberg`) {
		if _, err := ParseOptions(map[string]string{name: "\x00"}); strings.Contains(fmt.Sprint(err), "there is no option") {
			t.Error(err)
		}
	}
}

func TestSizesAndDurations(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "7": 7, "7B": 7, "64KiB": 64 << 10, "3MiB": 3 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s is %d, %v", text, got, err)
		}
	}
	for text, want := range map[string]time.Duration{"250ms": 250 * time.Millisecond, "90s": 90 * time.Second, "5m": 5 * time.Minute,
		"12h": 12 * time.Hour, "7d": 168 * time.Hour, "0s": 0} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "B", "MiB", "-1", "+1", "1.5MiB", "1 MiB", "1MB", "1mib", "9999999999999TiB", "99999999999999999999"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is taken as %d", text, got)
		}
	}
	for _, text := range []string{"", "s", "1", "-1s", "1.5h", "1 h", "1w", "1h30m", "36501d", "9223372036854775807h"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is taken as %s", text, got)
		}
	}
}

func TestOptionsComeBackFromTheirMap(t *testing.T) {
	value := rapid.OneOf(rapid.StringMatching(`[0-9]{1,4}(s|m|h|d|KiB|MiB|GiB)?`), rapid.SampledFrom([]string{"none", "lz4", "zstd", "1", "true", "false"}))
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.MapOf(rapid.SampledFrom(optionNames()), value).Draw(t, "set")
		o, err := ParseOptions(set)
		if err != nil {
			if ReasonOf(err) != BadOption {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseOptions(o.Map())
		if err != nil || !slices.Equal(optionFields(again), optionFields(o)) {
			t.Fatalf("%v: %v, %v", set, again, err)
		}
	})
}

func FuzzParseOptions(f *testing.F) {
	for _, row := range optionTable {
		f.Add(row.name, row.usual)
	}
	f.Add("segment.bytes", "9223372036854775807TiB")
	f.Add("aggregate.x.delimiter", ",")
	f.Fuzz(func(t *testing.T, name, value string) {
		o, err := ParseOptions(map[string]string{name: value})
		if err != nil && ReasonOf(err) != BadOption {
			t.Fatal(err)
		}
		if err == nil && (o.SegmentBytes < minSegmentBytes || o.SegmentAge < time.Second || o.WriterExpiry < time.Second || o.RetentionTime < 0) {
			t.Fatalf("%s = %q gives %+v", name, value, o)
		}
		if len(fmt.Sprint(err)) > 10_000 {
			t.Fatalf("the error has %d bytes", len(fmt.Sprint(err)))
		}
	})
}

// TestStoredOptionsLoseNoTable reads options that another version took.
func TestStoredOptionsLoseNoTable(t *testing.T) {
	set := map[string]string{"segment.bytes": "64MiB", "retention.time": "3d", "of.another.version": "x"}
	o := StoredOptions(set)
	if o.SegmentBytes != 64<<20 || o.SegmentAge == 0 || o.RetentionTime != 3*24*time.Hour {
		t.Errorf("%+v", o)
	}
	if got := o.Map(); !maps.Equal(got, set) {
		t.Errorf("the words of the options are lost: %v", got)
	}
}
