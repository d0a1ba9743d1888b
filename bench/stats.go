package main

// pairwise combines the values of the same round.
func pairwise(a, b []float64, combine func(a, b float64) float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = combine(a[i], b[i])
	}
	return out
}

func divide(a, b float64) float64 { return a / b }
