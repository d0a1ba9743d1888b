package quiver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"pgregory.net/rapid"
)

// TestAutoPartitions runs cases of lines: the partition columns, the options, partitions that exist ("has …"), and
// clocks ("at …"), for each of which the answer tells what is made and what is dropped, and does so.
func TestAutoPartitions(t *testing.T) {
	runScript(t, "auto.txt", func(input string) string {
		lines := strings.Split(input, "\n")
		spec := TableSpec{Database: "d", Name: "t", Schema: schemaOf(t, lines[0]), Options: map[string]string{}}
		for _, f := range spec.Schema.Fields() {
			if f.Name != "id" {
				spec.PartitionBy = append(spec.PartitionBy, f.Name)
			}
		}
		for word := range strings.FieldsSeq(lines[1]) {
			name, value, _ := strings.Cut(word, "=")
			spec.Options["partition."+name] = value
		}
		table, err := spec.Table(1, 0)
		if err != nil {
			return err.Error()
		}
		var out strings.Builder
		id := PartitionID(1)
		add := func(name string) {
			canonical, _, err := table.ParsePartition(name)
			if err != nil {
				t.Fatal(err)
			}
			i, _ := findPartition(table.Partitions, canonical)
			table.Partitions = slices.Insert(table.Partitions, i, Partition{ID: id, Name: canonical})
			id++
		}
		for _, line := range lines[2:] {
			word, rest, _ := strings.Cut(line, " ")
			if word == "has" {
				add(rest)
				continue
			}
			now, err := time.Parse(time.RFC3339, rest)
			if err != nil {
				t.Fatal(err)
			}
			create, drop := table.AutoPartitions(now, 100)
			for _, p := range drop {
				fmt.Fprintf(&out, "- %s\n", p.Name)
				i, _ := findPartition(table.Partitions, p.Name)
				table.Partitions = slices.Delete(table.Partitions, i, i+1)
			}
			for _, name := range create {
				fmt.Fprintf(&out, "+ %s\n", name)
				add(name)
			}
			if again, more := table.AutoPartitions(now, 100); len(again)+len(more) > 0 {
				t.Errorf("%s: then %v and %v", line, again, more)
			}
			fmt.Fprintf(&out, ". %s\n", rest)
		}
		return out.String()
	})
}

// TestPeriods: for any type and unit the value that is written for a period is read as that period, periods follow
// each other, and every instant is in one.
func TestPeriods(t *testing.T) {
	types := strings.Fields("date32[day] date64[ms] timestamp[s] timestamp[us] string large_string int32 int64 uint32 uint64")
	zones := strings.Fields("UTC Europe/Berlin Asia/Kathmandu America/New_York Australia/Lord_Howe Pacific/Apia")
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(types).Draw(t, "type")
		auto := AutoPartition{Unit: rapid.SampledFrom(autoUnits).Draw(t, "unit")}
		if auto.Unit == Hour && strings.HasPrefix(text, "date") {
			t.Skip()
		}
		if err := auto.parseZone(rapid.SampledFrom(zones).Draw(t, "zone")); err != nil {
			t.Fatal(err)
		}
		dt := flatTypeOf(text)
		if rapid.Bool().Draw(t, "zoned") && strings.HasPrefix(text, "timestamp") {
			dt = &arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"}
		}
		now := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "now"), 0)
		start := auto.startOf(now)
		next := auto.step(start, 1)
		if start.After(now) || !next.After(now) || !auto.step(next, -1).Equal(start) || !auto.startOf(start).Equal(start) || !auto.startOf(next).Equal(next) {
			t.Fatalf("%s of %s is [%s, %s), before it %s", auto.Unit, now.In(auto.Zone), start, next, auto.step(next, -1))
		}
		value := periodValue(dt, auto.Unit, start)
		read, ok := auto.period(dt, value)
		if !ok {
			t.Fatalf("%s is %v, which names no period", start, value)
		}
		if drift := read.Sub(start).Abs(); drift > 0 && (auto.Unit != Hour || drift > time.Hour) {
			t.Fatalf("%s is %v, read as %s", start, value, read)
		}
	})
}

func TestPeriodsThatAreNone(t *testing.T) {
	auto := AutoPartition{Unit: Day, Zone: time.UTC}
	for _, value := range []any{nil, "", "eu", "2026-13-01", "2026-1-1", "-2026-11-22", "20261122x", int64(-20261122), int64(0), int64(99999999999)} {
		if at, ok := auto.period(arrow.BinaryTypes.String, value); ok {
			t.Errorf("%v is %s", value, at)
		}
	}
	auto.Unit = Quarter
	for _, value := range []any{"2026", "2026-Q5", "2026-Q0", "2026Q", "20261122"} {
		if at, ok := auto.period(arrow.BinaryTypes.String, value); ok {
			t.Errorf("%v is %s", value, at)
		}
	}
}

// TestManyPartitionsCostNoSquare counts: what is asked at once is bounded, whatever there is.
func TestManyPartitionsCostNoSquare(t *testing.T) {
	table, err := TableSpec{Database: "d", Name: "t", Schema: schemaOf(t, "struct<dt: date32[day], region: string>"),
		PartitionBy: []string{"dt", "region"}, Options: map[string]string{"partition.auto": "day", "partition.retain": "1"}}.Table(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		name, _ := table.PartitionName([]any{arrow.Date32(i), strconv.Itoa(i)})
		table.Partitions = append(table.Partitions, Partition{ID: PartitionID(i + 1), Name: name})
	}
	slices.SortFunc(table.Partitions, func(a, b Partition) int { return strings.Compare(a.Name, b.Name) })
	create, drop := table.AutoPartitions(time.Unix(5000*daySeconds, 0), 1000)
	if len(create) != 0 || len(drop) != 1000 || drop[0].ID != 1 {
		t.Errorf("%d to make, %d to drop, the first is %v", len(create), len(drop), drop[:1])
	}
}
