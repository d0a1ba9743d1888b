package measure

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{nil, math.NaN()},
		{[]float64{3}, 3},
		{[]float64{5, 1, 3}, 3},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		got := Median(test.values)
		if got != test.want && !(math.IsNaN(got) && math.IsNaN(test.want)) {
			t.Errorf("median of %v: %v", test.values, got)
		}
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{
		0.0123: "0.012", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1234", 12_345: "12.3 K", 999_000: "999 K", 83_200_000: "83.2 M",
	} {
		if got := Figure(v); got != want {
			t.Errorf("%v is written as %q, want %q", v, got, want)
		}
	}
}
