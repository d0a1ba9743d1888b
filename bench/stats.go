package main

import (
	"math"
	"slices"
)

// Values that are NaN were not measured: nothing here counts them.

// known are the values that were measured, sorted.
func known(values []float64) []float64 {
	sorted := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	slices.Sort(sorted)
	return sorted
}

// median is the middle value, NaN of none.
func median(values []float64) float64 {
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

// spread is the least and the largest value, NaN of none.
func spread(values []float64) (low, high float64) {
	sorted := known(values)
	if len(sorted) == 0 {
		return math.NaN(), math.NaN()
	}
	return sorted[0], sorted[len(sorted)-1]
}

// pairwise combines the values of the same round.
func pairwise(a, b []float64, combine func(a, b float64) float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = combine(a[i], b[i])
	}
	return out
}

func divide(a, b float64) float64 { return a / b }
