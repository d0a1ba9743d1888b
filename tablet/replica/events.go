package replica

import "github.com/quiverlog/quiver"

// Event is something that happened to the replica: Appoint, Durable, Fail or Dismiss.
type Event interface{ epoch() quiver.Epoch }

// Appoint is the coordinator's word that this replica leads the bucket.
type Appoint struct {
	Epoch  quiver.Epoch
	ISR    []Member // the in-sync set, this replica included
	MinISR int      // puts are refused while the in-sync set is smaller
}

// Durable tells that a member's log is durable before End. The leader's own log is a member's like any other.
type Durable struct {
	Member Member
	Epoch  quiver.Epoch
	End    quiver.Offset // exclusive, a unit end
}

// Fail tells that the log ended the leadership by itself: a write or a sync failed.
type Fail struct{ Epoch quiver.Epoch }

// Dismiss is the coordinator's word that this replica has no role from this epoch on.
type Dismiss struct{ Epoch quiver.Epoch }

func (e Appoint) epoch() quiver.Epoch { return e.Epoch }
func (e Durable) epoch() quiver.Epoch { return e.Epoch }
func (e Fail) epoch() quiver.Epoch    { return e.Epoch }
func (e Dismiss) epoch() quiver.Epoch { return e.Epoch }

// Effect is something for the shell to do: StartLog, Advance or Demand.
type Effect interface{ effect() }

// StartLog asks for the log to begin the leadership Epoch (cutting an unfinished unit off its end) and for its
// durable end to be told as a Durable.
type StartLog struct{ Epoch quiver.Epoch }

// Advance asks for the high watermark to be moved, and for readers and waiting producers to be woken.
type Advance struct {
	Epoch         quiver.Epoch
	HighWatermark quiver.Offset // exclusive
}

// Demand asks for a new epoch from the coordinator before this replica leads again. It must be above Above.
type Demand struct{ Above quiver.Epoch }

func (StartLog) effect() {}
func (Advance) effect()  {}
func (Demand) effect()   {}
