package scan

// Room is memory for what a scan reads. It is asked for before rows are read, so that readers who do not take what they
// are sent keep no more than there is room for, however many they are.
type Room interface {
	// Take waits until there are so many bytes. They belong to the rows of the next chunk.
	Take(bytes int) error
	// Leave gives them back: no chunk came of it.
	Leave()
}

// What is expected of a chunk before one was seen, and at least.
const (
	expectedRow   = 1 << 10  // bytes of a row
	expectedLeast = 64 << 10 // bytes
)

// takeRoom asks for room for the next chunk.
func (s *Scanner) takeRoom() error {
	if s.options.Room == nil {
		return nil
	}
	return s.options.Room.Take(s.expected())
}

// leaveRoom gives it back.
func (s *Scanner) leaveRoom() {
	if s.options.Room != nil {
		s.options.Room.Leave()
	}
}

// expected is how many bytes the next chunk takes, about: as much as the last one, as it may have grown, once there was
// one, and what all rows that are left take at most. A filter has to read more than it lets through.
func (s *Scanner) expected() int {
	most := s.bounds.bytes
	if s.reading.sieve == nil && s.seen {
		most = min(most, 2*s.last)
	}
	enough, rows := int64(most/expectedRow), int64(0)
	for _, c := range s.cursors {
		if rows += int64(c.until - c.next); rows >= enough {
			break
		}
	}
	if rows = min(rows, s.left); rows < enough {
		most = int(rows) * expectedRow
	}
	return max(most, expectedLeast)
}
