// Package measure reads what the machine tells of a benchmark: CPU time and memory of processes, how much of the machine
// other programs took meanwhile, and what machine it was. And it has the statistics and the notation of all pages.
//
// All times come from the kernel's books, not from the programs that are measured.
package measure

import "io"

// closeRead closes what was only read from: an error of that would change nothing.
func closeRead(c io.Closer) { _ = c.Close() }
