package arrowlog

import (
	"time"

	"github.com/quiverlog/quiver"
)

// Pin keeps retention from deleting rows that somebody still needs: a reader that is on its way to them, a snapshot that
// would be replayed from there, remote storage that has not got them yet. DeleteBefore, which a user asks for, heeds no
// pin; a reader keeps the segment that it is in all the same.
//
// Pins are in memory: after a start, and after a failure of the log, who needs rows pins them again.
type Pin struct {
	log *Log

	// Guarded by log.mu.
	at    quiver.Offset
	until time.Time // when it ends by itself; zero: never
}

// Pin keeps the rows from the offset on, at most until the time; zero means until it is released.
func (l *Log) Pin(at quiver.Offset, until time.Time) *Pin {
	p := &Pin{log: l, at: at, until: until}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pins == nil {
		l.pins = map[*Pin]struct{}{}
	}
	l.pins[p] = struct{}{}
	return p
}

// Move lets the rows before the offset go. It never moves back.
func (p *Pin) Move(at quiver.Offset) {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	p.at = max(p.at, at)
}

// Release ends the pin. It may be called again.
func (p *Pin) Release() {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	delete(p.log.pins, p)
}

// pinnedLocked is the first offset that a pin keeps, or the given one if none keeps a lower one. Pins that have ended
// are forgotten.
func (l *Log) pinnedLocked(before quiver.Offset, now time.Time) quiver.Offset {
	for p := range l.pins {
		if !p.until.IsZero() && now.After(p.until) {
			delete(l.pins, p)
			continue
		}
		before = min(before, p.at)
	}
	return before
}
