// Package replica is the replication protocol of one bucket, as a pure state machine.
//
// A State is what one server knows about its own copy of one bucket: its role, the epoch it holds that role by, the
// in-sync set (ISR) and how far each member's log is durable. Events go in, the new state stays, a list of effects
// comes out for the shell (package tablet) to carry out in order:
//
//	   event                         state                       effect
//	Appoint{epoch, isr, min-isr} -> leader, nothing durable  -> StartLog{epoch}
//	Durable{self, epoch, end}    -> own end                  -> Advance{high watermark}
//	Durable{member, epoch, end}  -> its end                  -> Advance{high watermark}
//	Fail{epoch}                  -> no role                  -> Demand{above epoch}
//	Dismiss{epoch}               -> no role                  ->
//
// It has no goroutine, lock, clock, file or socket: the same events give the same state and effects, everywhere.
//
// # Invariants
//
//   - An event of a lower epoch than the state's has no effect.
//   - The high watermark is the least durable end over the in-sync set. It is unknown until each member has told its
//     end in this epoch, and never goes back within an epoch.
//   - A replica admits a put only while it leads, its own log has started in this epoch, and the in-sync set has at
//     least min-isr members.
//   - An epoch is led once: a leadership that failed is followed by one with a higher epoch, never by the same.
//   - Ends are unit ends: the log reports whole units only, so the high watermark is one too.
package replica
