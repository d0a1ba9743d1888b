package coordinator

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

// maxSettle is how often a commit with an unknown outcome is repeated before its callers are told so.
const maxSettle = 3

// doubt is a commit whose outcome is unknown, and the state that it leads to.
type doubt struct {
	txn  metastore.Txn
	next *State
}

// round runs a group of calls: decide, commit, tell the servers, show, answer.
func (c *Coordinator) round(calls []*call) {
	if err := c.ready(); err != nil {
		failAll(calls, err)
		return
	}
	g := c.decide(calls)
	if txn := g.txn(); len(txn.Puts)+len(txn.Deletes) > 0 {
		if err := c.commit(txn, g.next); err != nil {
			failAll(g.calls, err)
			return
		}
	}
	if err := c.show(); err != nil {
		failAll(g.calls, err)
	}
}

// ready says what keeps commands from being decided: a commit in doubt that does not settle, another coordinator.
func (c *Coordinator) ready() error {
	if c.ctx.Err() != nil {
		return errClosing()
	}
	if c.doubt != nil {
		if err := c.settle(); c.doubt != nil {
			return storeError(err, quiver.NotDone)
		}
	}
	return c.deposed
}

// decide applies the commands one after the other, each to the state that the ones before it lead to. Those that are
// refused get their answer; the others are in the group.
func (c *Coordinator) decide(calls []*call) *group {
	g := newGroup(c.state)
	for _, call := range calls {
		if call.command != nil {
			call.result, call.err = g.apply(call.command)
		}
		if call.err == nil {
			g.calls = append(g.calls, call)
		}
	}
	return g
}

// commit makes a group durable, and its state ours.
func (c *Coordinator) commit(txn metastore.Txn, next *State) error {
	if _, err := io.ReadFull(c.options.Rand, txn.Request[:]); err != nil {
		return storeError(fmt.Errorf("make a request id: %w", err), quiver.NotDone)
	}
	began := c.options.Now()
	r, err := c.store.Commit(c.ctx, txn)
	c.metrics.committed(r.Outcome, c.options.Now().Sub(began))
	switch r.Outcome {
	case metastore.Done:
		c.adopt(next, r.Version)
		return nil
	case metastore.NotDone:
		c.options.Logger.Warn("metadata was not committed", "err", err)
		return c.refused(err)
	}
	c.options.Logger.Error("the outcome of a metadata commit is unknown; it is repeated", "err", err)
	c.doubt = &doubt{txn: txn, next: next}
	if err = c.settle(); c.doubt != nil {
		return storeError(err, quiver.Unknown)
	}
	return err
}

// settle repeats the commit in doubt. The doubt is gone once the store knows: the error is nil if it was done, else
// it was not.
func (c *Coordinator) settle() (err error) {
	for range maxSettle {
		var r metastore.Result
		r, err = c.store.Commit(c.ctx, c.doubt.txn)
		var conflict *metastore.ConflictError
		switch {
		case r.Outcome == metastore.Done:
			c.options.Logger.Info("the metadata commit in doubt was done")
			c.adopt(c.doubt.next, r.Version)
			c.doubt = nil
			return nil
		case errors.As(err, &conflict):
			c.doubt = nil
			return c.refused(err)
		}
	}
	return err
}

// adopt makes a state ours whose transaction was done.
func (c *Coordinator) adopt(next *State, version int64) {
	next.version = version
	c.state = next
	if c.incarnation == 0 {
		c.incarnation = next.Incarnation
	}
}

// refused gives the error of a commit that was not done. A conflict means that the store is not as we know it: another
// coordinator began an incarnation, and this one is over.
func (c *Coordinator) refused(err error) error {
	var conflict *metastore.ConflictError
	if errors.As(err, &conflict) {
		c.deposed = (&quiver.Error{
			Reason: quiver.LeaderNotAvailable, Subject: "metadata",
			Detail: "another coordinator has taken over", Hint: "restart this server, or ask the other one", Err: err,
		}).During("coordinator.commit")
		c.options.Logger.Error("another coordinator has taken over", "err", err)
		return c.deposed
	}
	return storeError(err, quiver.NotDone)
}

// show tells the servers of the state, if they do not know it, and then shows it to callers.
func (c *Coordinator) show() error {
	if c.state.version == c.shown.Load().version && c.Unapplied() == nil {
		return nil
	}
	if c.told != nil && c.Unapplied() == nil && c.told.tellsAsMuch(c.state) {
		c.shown.Store(c.state) // cursors and the like are nothing to servers
		return nil
	}
	began := c.options.Now()
	err := c.options.Reconcile(c.ctx, c.state.Desired())
	c.metrics.reconcile.Observe(c.options.Now().Sub(began).Seconds())
	c.told = c.state
	c.shown.Store(c.state)
	if err == nil {
		c.unapplied.Store(nil)
		return nil
	}
	c.metrics.diverged.Inc()
	c.options.Logger.Error("servers did not converge; it is tried again with the next change",
		"version", c.state.version, "err", err)
	err = applyError(err)
	c.unapplied.Store(&err)
	return err
}

// applyError is the error of a command that was done, while a server did not converge.
func applyError(err error) error {
	reason := quiver.ReasonOf(err)
	if reason == "" {
		reason = quiver.LeaderNotAvailable
	}
	return (&quiver.Error{
		Reason: reason, Outcome: quiver.Done, Subject: "metadata",
		Detail: "the change was made, but the server could not follow it: " + err.Error(), Hint: "it tries again", Err: err,
	}).During("coordinator.reconcile")
}

// storeError is the error of a command that the store did not take, or may not have taken.
func storeError(err error, outcome quiver.Outcome) error {
	e := &quiver.Error{Reason: quiver.LeaderNotAvailable, Outcome: outcome, Subject: "metadata", Err: err, Op: "coordinator.commit"}
	if errors.Is(err, syscall.ENOSPC) {
		e.Reason = quiver.DiskFull
	}
	switch outcome {
	case quiver.Unknown:
		e.Detail = fmt.Sprintf("the change may have been made: %v", err)
		e.Hint = "look whether it was, and try again"
	default:
		e.Detail = fmt.Sprintf("the change was not made: %v", err)
		e.Hint = "see to the disk of the metadata, and try again"
	}
	return e
}

// failAll answers calls with an error. What was done keeps its result.
func failAll(calls []*call, err error) {
	for _, call := range calls {
		call.err = err
		if quiver.OutcomeOf(err) != quiver.Done {
			call.result = Result{}
		}
	}
}
