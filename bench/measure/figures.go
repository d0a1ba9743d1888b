package measure

import (
	"math"
	"slices"
	"strconv"
)

// Values that are NaN were not measured: nothing here counts them.

// known are the values that were measured, sorted.
func known(values []float64) []float64 {
	sorted := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	slices.Sort(sorted)
	return sorted
}

// Median is the middle value, NaN of none.
func Median(values []float64) float64 {
	sorted := known(values)
	if len(sorted) == 0 {
		return math.NaN()
	}
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// Spread is the least and the largest value, NaN of none.
func Spread(values []float64) (low, high float64) {
	sorted := known(values)
	if len(sorted) == 0 {
		return math.NaN(), math.NaN()
	}
	return sorted[0], sorted[len(sorted)-1]
}

// Figure writes a figure with three digits that count.
func Figure(v float64) string {
	switch size := math.Abs(v); {
	case math.IsNaN(v):
		return "?"
	case size >= 1e6:
		return trimmed(v/1e6, size/1e6) + " M"
	case size >= 10_000:
		return trimmed(v/1e3, size/1e3) + " K"
	default:
		return trimmed(v, size)
	}
}

func trimmed(v, size float64) string {
	digits := 3
	switch {
	case size >= 100:
		digits = 0
	case size >= 10:
		digits = 1
	case size >= 1:
		digits = 2
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
