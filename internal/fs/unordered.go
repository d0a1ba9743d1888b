//go:build !fault

package fs

// Ordered is a file system that fails on order, in programs built with the tag "fault"; else nil.
func Ordered() FS { return nil }
