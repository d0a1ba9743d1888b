//go:build !planted

package planted

// Enabled tells whether the program was built with the tag "planted".
const Enabled = false

// Is tells whether the program is to have the bug: never, without the tag.
func Is(Bug) bool { return false }
