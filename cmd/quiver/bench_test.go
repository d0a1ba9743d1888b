package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestBench runs each measurement for a few operations, and finds no table left behind.
func TestBench(t *testing.T) {
	c := serve(t, "")
	for name, rows := range map[string]int64{"append": 7 * 50, "upsert": 7 * 50, "lookup": 7 * 50, "tail": 7 * 50, "scan": 7 * 300} {
		args := []string{"bench", name, "--count", "7", "--callers", "2", "--warmup", "1ms", "--buckets", "2", "-o", "json", "-q"}
		if name != "scan" {
			args = append(args, "--batch-rows", "50")
		}
		if name != "append" && name != "tail" {
			args = append(args, "--keys", "300")
		}
		out, _ := mustInvoke(t, args...)
		var got []struct {
			Job                       string
			Callers, Operations, Rows int64
			Bytes                     int64
			Seconds                   float64
			P50                       float64 `json:"p50_ms"`
			Max                       float64 `json:"max_ms"`
			RowsPerSecond             float64 `json:"rows_per_second"`
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 {
			t.Fatal(err, out)
		}
		r := got[0]
		if r.Job != name || r.Callers != 2 || r.Operations != 7 || r.Rows != rows || r.Bytes < 8*rows || r.P50 <= 0 || r.Max < r.P50 || r.RowsPerSecond <= 0 || r.Seconds <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if tables, err := c.Tables(t.Context(), ""); err != nil || len(tables) > 0 {
		t.Errorf("left behind: %v, %v", tables, err)
	}
}

// TestBenchOfATable reads a table that is there, which stays, and draws.
func TestBenchOfATable(t *testing.T) {
	serve(t, "")
	mustInvoke(t, "demo", "--rows", "100", "--rate", "1m/s", "-q")
	out, _ := mustInvoke(t, "bench", "scan", "--table", "bids", "--count", "3", "--warmup", "0s", "-o", "table")
	if !strings.HasPrefix(out, "scan, 3 operations, 300 rows and ") || !strings.Contains(out, "p99.9") || !strings.Contains(out, "█") {
		t.Error(out)
	}
	if out, _ = mustInvoke(t, "count", "bids"); !strings.Contains(out, "100") {
		t.Error(out)
	}
	out, _ = mustInvoke(t, "bench", "scan", "--table", "bids", "--columns", "price", "--where", "price < 0", "--count", "2", "--warmup", "0s")
	if !strings.Contains(out, `"table":"default.bids"`) || !strings.Contains(out, `"rows":0,`) {
		t.Error(out)
	}
}

// everyColumn is of each type that a column can have, but for null, which makeUp leaves null.
const everyColumn = `a bool, b int8, c int16, d int32 not null, e int64, f uint8, g uint16, h uint32, i uint64, j halffloat, k float, l double,
	m decimal128(3, 1), o decimal256(40, 2), p string not null, q large_string, r binary, s large_binary, t fixed_size_binary[3], u date32[day], v date64[ms],
	w time32[s], x time64[ns], y timestamp[s], z timestamp[ns, tz=Europe/Berlin], aa duration[us], ab month_interval, ac day_time_interval, ad month_day_nano_interval,
	ae list<item: int32 not null>, af large_list<item: string>, ag fixed_size_list<item: float>[3], ah struct<x: int64 not null, y: list<item: date32[day]>>, ai map<string, int64>`

// benchRow is what a program is told of a run.
type benchRow struct {
	Job, Table       string
	Operations, Rows int64
	Histogram        []struct {
		Under      float64 `json:"under_ms"`
		Operations int64
	}
}

func benched(t *testing.T, args ...string) benchRow {
	t.Helper()
	out, _ := mustInvoke(t, append(append([]string{"bench"}, args...), "--warmup", "0s", "--count", "6", "-o", "json", "-q")...)
	var got []benchRow
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 {
		t.Fatal(err, out)
	}
	sum := int64(0)
	for _, bar := range got[0].Histogram {
		sum += bar.Operations
	}
	if got[0].Operations != 6 || sum != 6 {
		t.Errorf("%v: the bars have %d operations: %s", args, sum, out)
	}
	return got[0]
}

// TestBenchWritesTables makes up rows for tables that are there: of every type, with partitions, with keys.
func TestBenchWritesTables(t *testing.T) {
	c := serve(t, "")
	rows := func(table string) int64 {
		stats, err := c.TableStats(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		return stats[len(stats)-1].Rows
	}
	mustInvoke(t, "table", "create", "every", "--schema", everyColumn, "--bucket-key", "d", "--buckets", "3")
	if r := benched(t, "append", "--table", "every", "--batch-rows", "5", "--callers", "2", "-y"); r.Job != "append" || r.Table != "default.every" || r.Rows != 30 {
		t.Error(r)
	}
	if r := benched(t, "tail", "--table", "every", "--batch-rows", "5", "--callers", "2", "-y"); r.Rows != 30 {
		t.Error(r)
	}
	if n := rows("every"); n != 60 {
		t.Errorf("table every has %d rows", n)
	}

	mustInvoke(t, "table", "create", "days", "--schema", "id int64, day date32[day], region string", "--partition-by", "day,region")
	for _, region := range []string{"eu", "us"} {
		mustInvoke(t, "partition", "create", "days", "day=2026-11-22/region="+region)
	}
	benched(t, "append", "--table", "days", "--batch-rows", "5", "--callers", "2", "-y")
	benched(t, "append", "--table", "days", "--batch-rows", "5", "--partition", "region=asia/day=2026-11-22", "-y")
	benched(t, "tail", "--table", "days", "--batch-rows", "5", "--partition", "region=asia/day=2026-11-22", "-y")
	if names, err := c.Partitions(t.Context(), "days"); err != nil || len(names) != 3 || rows("days") != 90 {
		t.Error(names, err, rows("days"))
	}

	mustInvoke(t, "table", "create", "keyed", "--schema", "id int64 not null, day date32[day] not null, name string not null, n int64, note string",
		"--primary-key", "day,name,id", "--partition-by", "day", "--buckets", "2", "--set", "auto-increment=n")
	for _, day := range []string{"2026-11-22", "2026-11-23"} {
		mustInvoke(t, "partition", "create", "keyed", "day="+day)
	}
	if r := benched(t, "upsert", "--table", "keyed", "--batch-rows", "500", "--callers", "2", "--keys", "40", "-y"); r.Rows != 3000 {
		t.Error(r)
	}
	if n := rows("keyed"); n < 40 || n > 80 {
		t.Errorf("table keyed has %d rows, of 40 keys in each of two partitions", n)
	}
	for _, args := range [][]string{{"--keys", "7"}, {}, {"--partition", "day=2026-11-23"}} {
		if r := benched(t, append([]string{"lookup", "--table", "keyed", "--batch-rows", "50"}, args...)...); r.Rows != 300 {
			t.Error(args, r)
		}
	}
	benched(t, "tail", "--table", "keyed", "--callers", "2", "-y")
	if r := benched(t, "scan", "--table", "keyed", "--partition", "day=2026-11-22"); r.Rows%6 != 0 || r.Rows == 0 {
		t.Error(r)
	}
}

// TestBenchDoesNotFit names what is wrong with a table that cannot be measured so, and what to do.
func TestBenchDoesNotFit(t *testing.T) {
	serve(t, "")
	mustInvoke(t, "table", "create", "log", "--schema", "id int64")
	mustInvoke(t, "table", "create", "keyed", "--schema", "id int64", "--primary-key", "id")
	mustInvoke(t, "table", "create", "days", "--schema", "id int64, day date32[day]", "--partition-by", "day")
	for call, want := range map[string]string{
		"append --table keyed -y":                "table default.keyed has a primary key, so rows are upserted: use 'quiver bench upsert'",
		"upsert --table log -y":                  "table default.log is a log table, so rows are appended: use 'quiver bench append'",
		"lookup --table log":                     "table default.log is a log table, which has no keys to look up: use 'quiver bench scan'",
		"append --table days -y":                 "table default.days has no partition yet: name one with --partition day=…, and rows make it",
		"append --table log --partition a=1 -y":  "--partition a=1: table default.log has no partitions",
		"append --partition a=1":                 "--partition: the table that is made has none; name another with --table",
		"append --table log --buckets 3":         "--buckets and --keys are for the table that is made; leave them out with --table",
		"scan --table log --keys 3":              "--buckets and --keys are for the table that is made; leave them out with --table",
		"tail --table log":                       "asks before it goes on, and nobody is there to answer; add -y",
		"scan --batch-rows 3":                    "unknown flag: --batch-rows",
		"append --table days --partition x=1 -y": `"x" is no partition column`,
		"scan --table log --columns idd":         `did you mean "id"?`,
		"scan --table log --where idd>1":         "idd",
		"lookup --table keyed":                   "table default.keyed has no rows to look up; fill it, or leave --table out",
	} {
		code, out, talk := invoke(t.Context(), append([]string{"bench"}, strings.Fields(call)...)...)
		if code == exitDone || out != "" || !strings.Contains(talk, want) {
			t.Errorf("%s: exit code %d, %s%s", call, code, out, talk)
		}
	}
}

// TestBenchAtARate begins operations at their times, and counts from there: a caller that cannot keep up has all the more
// to show for it.
func TestBenchAtARate(t *testing.T) {
	serve(t, "")
	of := func(rate string) (operations int64, seconds, most float64) {
		out, _ := mustInvoke(t, "bench", "append", "--rate", rate, "--count", "40", "--batch-rows", "1", "--warmup", "0s", "-o", "json", "-q")
		var got []struct {
			Rate, Seconds float64
			Operations    int64
			Max           float64 `json:"max_ms"`
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 || got[0].Rate == 0 {
			t.Fatal(err, out)
		}
		return got[0].Operations, got[0].Seconds, got[0].Max
	}
	if n, seconds, _ := of("200"); n != 40 || seconds < 39.0/200 {
		t.Errorf("%d operations at 200 a second took %f s", n, seconds)
	}
	// All are to begin within 40 us: the last one has waited for nearly all of the others.
	if n, seconds, most := of("1000000"); n != 40 || most < 1000*seconds/2 {
		t.Errorf("%d operations came to %f s, and the longest took %f ms", n, seconds, most)
	}
}

// TestBenchInterrupted ends a run by an interrupt: it shows what it came to, and drops its table.
func TestBenchInterrupted(t *testing.T) {
	c := serve(t, "")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	go func() {
		for ctx.Err() == nil { // until rows can be seen
			tables, err := c.Tables(ctx, "")
			if err != nil || len(tables) == 0 {
				continue
			}
			if stats, err := c.TableStats(ctx, tables[0].Table); err == nil && len(stats) > 0 && stats[0].Rows > 100 {
				interrupt()
			}
		}
	}()
	code, out, talk := invoke(ctx, "bench", "append", "--batch-rows", "10", "--warmup", "0s", "--duration", "1h", "-o", "json")
	if code != exitDone || !strings.Contains(talk, "interrupted: this is what it came to") || !strings.Contains(out, `"operations"`) {
		t.Error(code, out, talk)
	}
	if tables, err := c.Tables(t.Context(), ""); err != nil || len(tables) > 0 {
		t.Errorf("left behind: %v, %v", tables, err)
	}
}

func TestBenchUsage(t *testing.T) {
	code, _, talk := invoke(t.Context(), "bench", "lookup", "--callers", "0", "--keys", "-1", "--duration", "0s", "--rate", "NaN")
	for _, want := range []string{"--rate NaN: it must be between 0 and 1000000", "--callers 0: it must be 1 at least", "--keys -1: it must be 1 at least", "--duration 0s: it must be longer than nothing"} {
		if code != exitUsage || !strings.Contains(talk, want) {
			t.Errorf("%d %s, want %s", code, talk, want)
		}
	}
	serve(t, "")
	if code, _, talk := invoke(t.Context(), "bench", "scan", "--table", "nothing"); code != exitNotFound {
		t.Error(code, talk)
	}
	if code, _, talk := invoke(t.Context(), "bench", "delete"); code != exitUsage {
		t.Error(code, talk)
	}
}

func TestDrawTimes(t *testing.T) {
	times := newTimes()
	for range 100 {
		_ = times.RecordValue(int64(15 * time.Microsecond))
	}
	_ = times.RecordValue(int64(90 * time.Microsecond))
	_ = times.RecordValue(int64(5 * time.Millisecond))
	const want = `under      20µs         100  ██████████████████████████████████████████████████
under      40µs           0  
under      80µs           0  
under     160µs           1  ▏
under     320µs           0  
under     640µs           0  
under    1.28ms           0  
under    2.56ms           0  
under    5.12ms           1  ▏
`
	if got := drawTimes(times); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDrawCourse(t *testing.T) {
	const want = "▁▂▃▄▅▆▇█  from 0 to 70 rows/s\n"
	if got := drawCourse([]int64{0, 1, 2, 3, 4, 5, 6, 7, 1}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := drawCourse([]int64{5, 5}); got != "" {
		t.Error(got)
	}
	long := make([]int64, 1000)
	for i := range long {
		long[i] = 100
	}
	if got := drawCourse(long); got != strings.Repeat("█", 59)+"  from 1,000 to 1,000 rows/s\n" {
		t.Error(got)
	}
}
