// Caller is a program with a planted bug.
package main

import "github.com/quiverlog/quiver/internal/planted"

func main() {
	if planted.Is(planted.AckBeforeSync) {
		println("the bug was here")
	}
}
