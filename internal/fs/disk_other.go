//go:build !linux

package fs

func writeDescriptor(f File, parts [][]byte, off int64) error { return writeParts(f, parts, off) }

func allocateDescriptor(f File, off, length int64) error { return extend(f, off+length) }
