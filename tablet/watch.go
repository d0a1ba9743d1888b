package tablet

import "github.com/quiverlog/quiver"

// watch is a channel that wants to hear of a table's partitions.
type watch struct{ ch chan<- struct{} }

// Watch lets the channel be sent to, without blocking, whenever partitions of the table come or go, and when the table
// or the server goes away. A channel of one place misses nothing. What is known then Table tells.
func (s *Server) Watch(table quiver.TableID, ch chan<- struct{}) (cancel func()) {
	w := &watch{ch}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watches[table] == nil {
		s.watches[table] = make(map[*watch]struct{})
	}
	s.watches[table][w] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches[table], w)
		if len(s.watches[table]) == 0 {
			delete(s.watches, table)
		}
	}
}

// tellLocked lets who watches the table look again. The caller holds mu.
func (s *Server) tellLocked(table quiver.TableID) {
	for w := range s.watches[table] {
		select {
		case w.ch <- struct{}{}:
		default:
		}
	}
}
