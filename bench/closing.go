package main

import "io"

// closeRead closes what was only read from, or is done with: an error of that would change nothing.
func closeRead(c io.Closer) { _ = c.Close() }
