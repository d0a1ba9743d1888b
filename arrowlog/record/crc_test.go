package record

import (
	"math/rand/v2"
	"testing"
)

func TestCombine(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for range 500 {
		n := r.IntN(len(data)) >> r.IntN(20)
		cut := r.IntN(n + 1)
		want := checksum(0, data[:n])
		got := combine(checksum(0, data[:cut]), checksum(0, data[cut:n]), int64(n-cut))
		if got != want {
			t.Fatalf("combine at %d of %d: %08x, want %08x", cut, n, got, want)
		}
	}
}

// Lengths beyond what fits in memory follow the same rule: x^(a+b) = x^a x^b.
func TestCombineLong(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 1000 {
		a, b, crc := r.Int64N(1<<60), r.Int64N(1<<60), r.Uint32()
		if got, want := combine(combine(crc, 0, a), 0, b), combine(crc, 0, a+b); got != want {
			t.Fatalf("%d+%d: %08x, want %08x", a, b, got, want)
		}
	}
}

func BenchmarkCombine(b *testing.B) {
	crc := uint32(1)
	for b.Loop() {
		crc = combine(crc, 0x12345678, 437_952)
	}
	_ = crc
}
