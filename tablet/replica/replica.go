package replica

import (
	"fmt"

	"github.com/quiverlog/quiver"
)

// Member names a server that holds a copy of the bucket.
type Member int32

// Role is what a replica is to its bucket.
type Role int8

const (
	// None means that the replica serves nothing: never appointed, dismissed, or failed.
	None Role = iota
	// Leader means that the replica takes puts and decides the high watermark.
	Leader
)

// String names the role.
func (r Role) String() string {
	switch r {
	case None:
		return "none"
	case Leader:
		return "leader"
	default:
		return fmt.Sprintf("role(%d)", int8(r))
	}
}

// unknown stands for an offset that nobody has told yet in this epoch.
const unknown = quiver.Offset(-1)

// State is one replica's knowledge of its bucket. Make one with New; it is not safe for concurrent use.
type State struct {
	self   Member
	role   Role
	epoch  quiver.Epoch // the highest one heard of; -1 before the first
	isr    []progress   // the in-sync set, while leading
	minISR int
	high   quiver.Offset // the high watermark of this epoch, or unknown
}

// progress is how far a member of the in-sync set has come.
type progress struct {
	member Member
	end    quiver.Offset // durable before this, or unknown
}

// New gives the state of a replica that has heard of no epoch.
func New(self Member) *State {
	return &State{self: self, epoch: -1, high: unknown}
}

// Role is the replica's role now.
func (s *State) Role() Role { return s.role }

// Epoch is the highest epoch the replica has heard of, -1 before the first.
func (s *State) Epoch() quiver.Epoch { return s.epoch }

// HighWatermark is the end of what may be shown, as far as this epoch has confirmed it; ok is false until then.
func (s *State) HighWatermark() (high quiver.Offset, ok bool) { return s.high, s.high != unknown }

// Step takes an event in and returns what the shell has to do, in order.
func (s *State) Step(event Event) []Effect {
	if event.epoch() < s.epoch {
		return nil
	}
	switch e := event.(type) {
	case Appoint:
		return s.appoint(e)
	case Durable:
		return s.durable(e)
	case Fail:
		return s.fail(e)
	case Dismiss:
		s.dismiss(e.Epoch)
		return nil
	default:
		panic(fmt.Sprintf("replica: unknown event %T", event))
	}
}

// Admit says whether a put may be staged now: nil, or why not.
func (s *State) Admit() *quiver.Error {
	switch {
	case s.role != Leader:
		return quiver.Errorf(quiver.LeaderNotAvailable, "this server does not lead the bucket").
			Advise("send it again")
	case s.own() == unknown:
		return quiver.Errorf(quiver.LeaderNotAvailable, "the leader of epoch %d is still starting", s.epoch).
			Advise("send it again")
	case len(s.isr) < s.minISR:
		return quiver.Errorf(quiver.NotEnoughReplicas, "%d of the %d replicas that min-isr asks for are in sync",
			len(s.isr), s.minISR).Advise("send it again when more servers are up")
	default:
		return nil
	}
}

// appoint begins a leadership. Being told twice is nothing new; an epoch that failed is not led again.
func (s *State) appoint(e Appoint) []Effect {
	if e.Epoch == s.epoch {
		return nil
	}
	s.role, s.epoch, s.minISR, s.high = Leader, e.Epoch, e.MinISR, unknown
	s.isr = make([]progress, len(e.ISR))
	for i, m := range e.ISR {
		s.isr[i] = progress{m, unknown}
	}
	return []Effect{StartLog{e.Epoch}}
}

// durable notes how far a member is durable, and moves the high watermark with the slowest.
func (s *State) durable(e Durable) []Effect {
	if s.role != Leader || e.Epoch != s.epoch {
		return nil
	}
	for i := range s.isr {
		if p := &s.isr[i]; p.member == e.Member {
			p.end = max(p.end, e.End)
		}
	}
	least := s.least()
	if least <= s.high {
		return nil
	}
	s.high = least
	return []Effect{Advance{s.epoch, least}}
}

// fail ends the leadership that the log has given up.
func (s *State) fail(e Fail) []Effect {
	if s.role != Leader || e.Epoch != s.epoch {
		return nil
	}
	s.dismiss(e.Epoch)
	return []Effect{Demand{Above: e.Epoch}}
}

func (s *State) dismiss(epoch quiver.Epoch) {
	s.role, s.epoch, s.isr, s.high = None, epoch, nil, unknown
}

// own is this replica's own durable end in this epoch, or unknown.
func (s *State) own() quiver.Offset {
	for _, p := range s.isr {
		if p.member == s.self {
			return p.end
		}
	}
	return unknown
}

// least is the least durable end over the in-sync set: unknown while one member's is, or while there is none.
func (s *State) least() quiver.Offset {
	if len(s.isr) == 0 {
		return unknown
	}
	least := s.isr[0].end
	for _, p := range s.isr[1:] {
		least = min(least, p.end)
	}
	return least
}
