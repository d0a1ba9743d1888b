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

// take asks for room for the next chunk.
func (s *Scanner) take() error {
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
// one. A filter has to read more than it lets through.
func (s *Scanner) expected() int {
	rows := s.left
	if len(s.cursors) == 1 {
		c := s.cursors[0]
		rows = min(rows, int64(c.until-c.next))
	}
	most := s.bounds.bytes
	if rows < int64(most/expectedRow) {
		most = max(int(rows)*expectedRow, expectedLeast)
	}
	if s.reading.sieve == nil && s.seen {
		most = min(most, max(2*s.last, expectedLeast))
	}
	return most
}
