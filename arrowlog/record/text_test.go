package record

import (
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

// validText is utf8.Valid: on everything up to four bytes that starts like a character, and on random texts with
// damage.
func TestValidText(t *testing.T) {
	pad := []byte("abcdefgh")
	for w := range uint32(1 << 24) {
		b := [4]byte{byte(w) | 0x80, byte(w >> 8), byte(w >> 16), 0x80}
		if w>>16&1 == 0 {
			b[3] = 'x'
		}
		p := append(b[:4:4], pad...)
		if got, want := validText(p), utf8.Valid(p); got != want {
			t.Fatalf("%x: %v, want %v", b, got, want)
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
