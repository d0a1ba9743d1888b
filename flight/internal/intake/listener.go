package intake

import (
	"net"
	"time"
)

// restTime is how long a connection may have no stream before it makes room for another one.
const restTime = time.Second

// listener wraps what it accepts, and keeps to the number of connections.
type listener struct {
	net.Listener
	intake *Intake
}

// Listen wraps a listener. What it accepts is counted.
func (i *Intake) Listen(l net.Listener) net.Listener { return &listener{l, i} }

// Accept waits for a connection that is served. At the limit one that has had no stream for longest makes room, or the
// new one is closed.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := newConn(l.intake, accepted)
		room, leaves := l.intake.enter(c)
		if leaves != nil {
			_ = leaves.Close()
		}
		if room {
			return c, nil
		}
		_ = accepted.Close()
	}
}

// enter takes up a connection, if there is room, or another one leaves for it.
func (i *Intake) enter(c *Conn) (room bool, leaves *Conn) {
	i.lock()
	defer i.unlock()
	if len(i.conns) >= i.options.Connections {
		i.counts.RefusedConnections++
		if leaves = i.idlest(); leaves == nil {
			return false, nil
		}
	}
	i.conns[c] = struct{}{}
	return true, leaves
}

// idlest is the connection that has had no stream for longest; one that never had any comes first. nil if none has
// rested long enough. i.mu must be held.
func (i *Intake) idlest() *Conn {
	var found *Conn
	for c := range i.conns {
		if len(c.streams) > 0 || time.Since(c.since) < restTime {
			continue
		}
		if found == nil || found.served && !c.served || found.served == c.served && c.since.Before(found.since) {
			found = c
		}
	}
	return found
}
