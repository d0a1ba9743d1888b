//go:build planted

package planted

import (
	"fmt"
	"os"
	"slices"
)

// Enabled tells whether the program was built with the tag "planted".
const Enabled = true

// chosen is the bug that this program has; "": none.
var chosen = choose()

// choose reads the environment. A test of a bug that there is not must not pass.
func choose() Bug {
	b := Bug(os.Getenv(Variable))
	if b != "" && !slices.Contains(Bugs, b) {
		panic(fmt.Sprintf("planted: there is no bug %q; there are %q", b, Bugs))
	}
	return b
}

// Is tells whether the program is to have the bug.
func Is(b Bug) bool { return b == chosen }
