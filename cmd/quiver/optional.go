package main

import (
	"errors"
	"strconv"
)

// optionalCount is a flag with a number from 0, which may be missing. It implements pflag.Value.
type optionalCount struct {
	set bool
	n   int64
}

func (o *optionalCount) String() string {
	if !o.set {
		return ""
	}
	return strconv.FormatInt(o.n, 10)
}

// Set reads the flag's value.
func (o *optionalCount) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return errors.New("a number from 0 is expected")
	}
	o.set, o.n = true, n
	return nil
}

// Type is what help calls the value.
func (o *optionalCount) Type() string { return "n" }
