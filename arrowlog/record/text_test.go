package record

import (
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

// validText is utf8.Valid: on all beginnings of a character with the edges of what may follow, and on random texts
// with damage.
func TestValidText(t *testing.T) {
	pad := []byte("abcdefgh")
	edges := []byte{0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF}
	for w := range 1 << 16 {
		for _, third := range edges {
			for _, fourth := range edges {
				p := append([]byte{byte(w), byte(w >> 8), third, fourth}, pad...)
				if got, want := validText(p), utf8.Valid(p); got != want {
					t.Fatalf("%x: %v, want %v", p[:4], got, want)
				}
			}
		}
	}
	seeded(t, 50, func(t *testing.T, r *rand.Rand) {
		for range 200 {
			var p []byte
			for range r.IntN(20) {
				p = append(p, randomText(r)...)
			}
			if r.IntN(2) == 0 {
				flipBit(r, p)
			}
			if got, want := validText(p), utf8.Valid(p); got != want {
				t.Fatalf("%x: %v, want %v", p, got, want)
			}
		}
	})
}

func BenchmarkValidText(b *testing.B) {
	for _, c := range []struct{ name, unit string }{
		{"ascii", "the quick brown fox "}, {"latin", "für größere Bäume "}, {"chinese", "你好世界"}, {"emoji", "😀😁 "},
	} {
		b.Run(c.name, func(b *testing.B) {
			var p []byte
			for len(p) < 1<<16 {
				p = append(p, c.unit...)
			}
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if !validText(p) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
