package quiver

import (
	"fmt"
	"math/big"
	"strings"
)

// parseUnscaled reads a decimal number as an integer count of its last digit: "12.5" with scale 2 is 1250.
// It must fit the precision and need no rounding.
func parseUnscaled(text []byte, precision, scale int32) (*big.Int, error) {
	s, err := numberText(text)
	if err != nil {
		return nil, err
	}
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || point && fraction == "" || strings.Trim(whole, "0123456789") != "" || strings.Trim(fraction, "0123456789") != "" {
		return nil, fmt.Errorf("a decimal number such as \"12.50\" is expected")
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > int(scale) {
		return nil, fmt.Errorf("it has more than %d digits behind the point", scale)
	}
	all := strings.TrimLeft(whole+fraction+strings.Repeat("0", int(scale)-len(fraction)), "0")
	if len(all) > int(precision) {
		return nil, fmt.Errorf("it has more than %d digits", precision)
	}
	n := new(big.Int)
	if all != "" {
		n.SetString(all, 10)
	}
	if negative {
		n.Neg(n)
	}
	return n, nil
}

// formatUnscaled is the inverse of parseUnscaled, without its checks.
func formatUnscaled(n *big.Int, scale int32) string {
	digits := new(big.Int).Abs(n).String()
	if missing := int(scale) + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	if scale > 0 {
		point := len(digits) - int(scale)
		digits = digits[:point] + "." + digits[point:]
	}
	if n.Sign() < 0 {
		return "-" + digits
	}
	return digits
}
