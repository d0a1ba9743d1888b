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
