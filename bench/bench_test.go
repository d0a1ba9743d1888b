package main

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver/bench/measure"
)

// TestDatasets checks that every set is what its seed says, has the size its name promises, and survives its file.
func TestDatasets(t *testing.T) {
	for _, test := range []struct {
		set         *dataset
		least, most float64 // bytes a row
	}{
		{bid(1000, 3), 100, 140},
		{wide100(200, 3), 720, 780},
		{int32s(1000, 3), 4, 4.2},
		{lineitem(1000, 3), 150, 220},
		{omb20(200, 3, longTexts), 1950, 2100},
		{omb20(200, 3, shortTexts), 210, 250},
		{taxi(1000, 3), 130, 170},
		{keyed("every", 1024, 4, everyKey(4096), 0), 80, 110},
		{keyed("uniform", 1024, 4, uniformKeys(4096), 1), 80, 110},
		{keyed("zipf", 1024, 4, zipfKeys(4096), 0), 80, 110},
	} {
		t.Run(test.set.name, func(t *testing.T) {
			a, b := test.set.generate(1), test.set.generate(1)
			defer a.Release()
			defer b.Release()
			if !array.RecordEqual(a, b) {
				t.Error("the same batch came out differently")
			}
			file, err := test.set.write(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if perRow := float64(file.logical) / float64(file.rows()); perRow < test.least || perRow > test.most {
				t.Errorf("%.1f bytes a row", perRow)
			}
			i := 0
			err = eachBatch(file.path, func(read arrow.RecordBatch) (bool, error) {
				made := test.set.generate(i)
				defer made.Release()
				if !array.RecordEqual(made, read) {
					t.Errorf("batch %d came back differently", i)
				}
				i++
				return true, nil
			})
			if err != nil || i != test.set.batches {
				t.Errorf("%d batches, %v", i, err)
			}
		})
	}
}

// keysOf gives the keys and the amounts of a set of D5.
func keysOf(d *dataset) (keys, amounts []int64) {
	for i := range d.batches {
		batch := d.generate(i)
		keys = append(keys, batch.Column(0).(*array.Int64).Int64Values()...)
		amounts = append(amounts, batch.Column(1).(*array.Int64).Int64Values()...)
		batch.Release()
	}
	return keys, amounts
}

// TestKeys checks which keys the sets of D5 have: each one once, or few often, and all of them with new values.
func TestKeys(t *testing.T) {
	const keys = 4096
	every, _ := keysOf(keyed("every", 1024, keys/1024, everyKey(keys), 0))
	slices.Sort(every)
	for i, key := range every {
		if key != int64(i) {
			t.Fatalf("key %d stands at place %d", key, i)
		}
	}
	zipf, first := keysOf(keyed("zipf", 1024, 16, zipfKeys(keys), 0))
	again, second := keysOf(keyed("zipf", 1024, 16, zipfKeys(keys), 1))
	if !slices.Equal(zipf, again) {
		t.Error("the same set has other keys")
	}
	same, often := 0, map[int64]int{}
	for i := range first {
		often[zipf[i]]++
		if first[i] == second[i] {
			same++
		}
		if zipf[i] < 0 || zipf[i] >= keys {
			t.Fatalf("key %d", zipf[i])
		}
	}
	if same > len(first)/100 {
		t.Errorf("%d of %d values are the same", same, len(first))
	}
	// The most popular of 4,096 keys has 1/H of the draws, H the sum of 1/r^0.99: about 11 %.
	if share := float64(often[0]) / float64(len(zipf)); share < 0.09 || share > 0.13 {
		t.Errorf("the most popular key has %.3f of the rows", share)
	}
}

func TestJudge(t *testing.T) {
	r := &result{Job: "J0", Arms: []armResult{
		{"a", []sample{{Metrics: metrics{gbPerSec: 2}}, {Metrics: metrics{gbPerSec: 9}}, {Metrics: metrics{gbPerSec: 4}}}},
		{"b", []sample{{Metrics: metrics{gbPerSec: 1}}, {Metrics: metrics{gbPerSec: 3}}, {Metrics: metrics{gbPerSec: 4}}}},
	}}
	r.about("speed")
	r.atLeast(2, r.ratio(gbPerSec, "a", "b"), "a of b")
	r.atMost(1.5, r.ratio(gbPerSec, "a", "b"), "a of b")
	r.atLeast(1, r.ratio(gbPerSec, "a", "missing"), "nothing")
	want := []goal{
		{topic: "J0: speed", text: "a of b", value: 2, low: 1, high: 3, need: 2, met: true},
		{topic: "J0: speed", text: "a of b", value: 2, low: 1, high: 3, need: 1.5, less: true},
	}
	if len(r.goals) != len(want) {
		t.Fatalf("%+v", r.goals)
	}
	for i, g := range r.goals {
		if g != want[i] {
			t.Errorf("%+v, want %+v", g, want[i])
		}
	}
}

// TestNoise checks that disturbed samples do not count where enough others do, and that they do where not.
func TestNoise(t *testing.T) {
	quiet := func(v float64) sample { return sample{Metrics: metrics{gbPerSec: v}} }
	loud := func(v float64) sample { return sample{Metrics: metrics{gbPerSec: v}, Loaded: true} }
	for _, test := range []struct {
		samples []sample
		want    float64
		noisy   bool
	}{
		{[]sample{quiet(1), loud(9), quiet(2), loud(9), quiet(3)}, 2, false},
		{[]sample{quiet(1), loud(9), loud(8)}, 8, true},
		{[]sample{quiet(1)}, 1, false},
	} {
		a := armResult{"a", test.samples}
		if got := measure.Median(a.values(gbPerSec)); got != test.want || a.noisy() != test.noisy {
			t.Errorf("%v: %v, noisy %v", test.samples, got, a.noisy())
		}
	}
	r := &result{Arms: []armResult{
		{"a", []sample{quiet(2), quiet(2), loud(9), quiet(6)}},
		{"b", []sample{quiet(1), quiet(2), quiet(1), quiet(2)}},
	}}
	if got := slices.DeleteFunc(r.ratio(gbPerSec, "a", "b"), math.IsNaN); !slices.Equal(got, []float64{2, 1, 3}) {
		t.Errorf("ratios %v: those of the third round do not count", got)
	}
}

// TestTurns checks that arms take turns, and that the round to warm up does not count.
func TestTurns(t *testing.T) {
	b := &bench{options: &options{rounds: 2, quick: true}, warmups: 1, progress: &strings.Builder{}, began: time.Now(), budget: time.Hour}
	var order []string
	turn := func(name string) arm {
		return arm{name, func(context.Context) (metrics, error) {
			order = append(order, name)
			return metrics{seconds: float64(len(order))}, nil
		}}
	}
	results, err := b.takeTurns(t.Context(), "J0", []arm{turn("a"), turn("b")})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "ababab" {
		t.Errorf("the order is %s", got)
	}
	if got := results[1].values(seconds); len(got) != 2 || got[0] != 4 || got[1] != 6 {
		t.Errorf("b took %v", got)
	}
	b.rounds, b.budget = 9, 0
	if results, err = b.takeTurns(t.Context(), "J0", []arm{turn("a")}); err != nil || len(results[0].Samples) != leastQuiet {
		t.Errorf("a job without time took %d rounds, %v", len(results[0].Samples), err)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-jobs", "J1,J77"}, {"-rounds", "0"}, {"J1"}} {
		if err := run(t.Context(), append(args, "-out", t.TempDir()), &strings.Builder{}); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
