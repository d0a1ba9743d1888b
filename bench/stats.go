package main

import (
	"math"
	"slices"
)

// median is the middle value, NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// spread is the least and the largest value, NaN of none.
func spread(values []float64) (low, high float64) {
	if len(values) == 0 {
		return math.NaN(), math.NaN()
	}
	return slices.Min(values), slices.Max(values)
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
