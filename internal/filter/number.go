package filter

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Limits of numbers, wide enough for every value of every type, written out.
const (
	maxDigits   = 1100
	maxExponent = 1100
)

// number is an exact decimal number: unscaled / 10^scale.
type number struct {
	unscaled *big.Int
	scale    int     // negative: zeros behind the digits
	float    float64 // the closest one: what the number is beside a float if it has a point or an exponent
	integer  bool    // it was written without point and exponent
}

// parseNumber reads a number whose form is right.
func parseNumber(text string) (number, error) {
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(text), "e")
	whole, fraction, point := strings.Cut(mantissa, ".")
	if len(whole)+len(fraction) > maxDigits {
		return number{}, fmt.Errorf("a number has more than %d digits", maxDigits)
	}
	n := number{unscaled: new(big.Int), scale: len(fraction), integer: !scientific && !point}
	if scientific {
		e, err := strconv.Atoi(exponent)
		if err != nil || e < -maxExponent || e > maxExponent {
			return number{}, fmt.Errorf("the exponent of a number lies between -%d and %d", maxExponent, maxExponent)
		}
		n.scale -= e
	}
	if _, ok := n.unscaled.SetString(strings.TrimPrefix(whole+fraction, "+"), 10); !ok {
		return number{}, fmt.Errorf("a number is expected")
	}
	n.float, _ = strconv.ParseFloat(text, 64) // too large a one is infinite, which closest looks at
	return n, nil
}

// closest gives the number as it is beside a float: exactly, or if it has a point or an exponent as the closest
// double. One that is larger than every double stays what it is.
func (n number) closest() number {
	if n.integer || math.IsInf(n.float, 0) {
		return n
	}
	return numberOf(n.float)
}

// numberOf gives a finite float exactly.
func numberOf(f float64) number {
	mantissa, exponent := math.Frexp(f) // f = mantissa * 2^exponent
	unscaled := big.NewInt(int64(mantissa * (1 << 53)))
	exponent -= 53
	scale := 0
	if exponent >= 0 {
		unscaled.Lsh(unscaled, uint(exponent))
	} else { // m / 2^k = m * 5^k / 10^k
		scale = -exponent
		unscaled.Mul(unscaled, new(big.Int).Exp(big.NewInt(5), big.NewInt(int64(scale)), nil))
	}
	return number{unscaled: unscaled, scale: scale, float: f}
}

// cmp compares two numbers exactly.
func (n number) cmp(m number) int {
	a, b := n.unscaled, m.unscaled
	switch {
	case n.scale < m.scale:
		a = new(big.Int).Mul(a, powerOfTen(m.scale-n.scale))
	case n.scale > m.scale:
		b = new(big.Int).Mul(b, powerOfTen(n.scale-m.scale))
	}
	return a.Cmp(b)
}

func powerOfTen(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// in gives the number in the unit of a layout, rounded down, and whether nothing was lost.
func (n number) in(l layout) (floor *big.Int, exact bool) {
	over, under := new(big.Int).Set(n.unscaled), big.NewInt(l.factor)
	if shift := l.scale - n.scale; shift >= 0 {
		over.Mul(over, powerOfTen(shift))
	} else {
		under.Mul(under, powerOfTen(-shift))
	}
	floor, rest := over.DivMod(over, under, new(big.Int)) // Euclidean: rounds down for positive divisors
	return floor, rest.Sign() == 0
}
