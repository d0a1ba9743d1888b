package arrowlog

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/quiverlog/quiver"
)

// space watches how much room the disk has left, so that puts are refused while there is still enough for what must
// go on: deletes, checkpoints, the batches staged before. It asks the disk rarely while there is plenty, at every put
// once there is not, and so notices by itself when room was made.
type space struct {
	usage   func() (free, total int64, err error)
	now     func() time.Time
	setting int64 // Options.Reserve

	mu      sync.Mutex
	free    int64 // as of checked, less what was staged since
	reserve int64
	checked time.Time
	full    bool
}

const (
	// spaceAge is how old an answer of the disk may be.
	spaceAge = time.Second
	// spaceSlack is how far above the reserve the estimate may come before the disk is asked again.
	spaceSlack = 64 << 20
	// defaultReserveMax bounds the default reserve.
	defaultReserveMax = 2 << 30
	// defaultReservePercent is the default reserve as a part of the disk.
	defaultReservePercent = 2
)

// take counts bytes that are about to be written, or refuses them.
func (s *space) take(bytes int64) error {
	if s.setting < 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.full || s.free-bytes < s.reserve+spaceSlack || now.Sub(s.checked) >= spaceAge || now.Before(s.checked) {
		s.ask(now)
	}
	if s.full = s.free-bytes < s.reserve; s.full {
		return quiver.Errorf(quiver.DiskFull, "%.1f MiB are free on the server's disk, of which %.1f MiB are kept back",
			mib(s.free), mib(s.reserve)).Advise("delete data or add room; writing goes on by itself when there is some")
	}
	s.free -= bytes
	return nil
}

// mib is a number of bytes in MiB, for people.
func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// ask asks the disk. One that cannot tell is taken to have room: a write will tell.
func (s *space) ask(now time.Time) {
	free, total, err := s.usage()
	if err != nil {
		free, total = 1<<62, 1<<62
	}
	s.checked, s.free, s.reserve = now, free, s.keeps(total)
}

// keeps is how many bytes of a disk of so many are the reserve.
func (s *space) keeps(total int64) int64 {
	if s.setting != 0 {
		return max(s.setting, 0)
	}
	return min(total/100*defaultReservePercent, defaultReserveMax)
}

// isNoSpace tells whether an error means that the disk, or the user's part of it, is full.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isNoFile tells whether an error means that no more files can be open.
func isNoFile(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// noSpace is the error of a write that the disk had no room for.
func noSpace(err error) *quiver.Error {
	e := quiver.Errorf(quiver.DiskFull, "the server's disk is full").
		Advise("delete data or add room; writing goes on by itself when there is some")
	e.Err = fmt.Errorf("write: %w", err)
	return e
}
