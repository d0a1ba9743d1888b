package main

import (
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// writeGroups is D: it appends groups of the given sizes to a new file, each synced before the next.
func writeGroups(dir string, groups []int64, memory *ring) error {
	path := filepath.Join(dir, "floor")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(path)
	}()
	for _, size := range groups {
		for size > 0 {
			n := min(size, int64(len(memory.bytes)))
			if _, err := f.Write(memory.next(int(n))); err != nil {
				return err
			}
			size -= n
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
	}
	return nil
}

// syncTimes gives how long each of n appends of 4 KiB with fdatasync took.
func syncTimes(dir string, n int) ([]time.Duration, error) {
	path := filepath.Join(dir, "sync")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(path)
	}()
	block := make([]byte, 4096)
	took := make([]time.Duration, 0, n)
	for range n {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksumAll is the CRC32C of everything: the floor of any storage that does not trust its disk.
func checksumAll(frames []frame) (sum uint32) {
	for _, f := range frames {
		sum = crc32.Update(sum, castagnoli, f.body)
	}
	return sum
}
