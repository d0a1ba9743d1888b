package metastore

import (
	"context"
	"errors"
	"fmt"
)

// Store is the metadata store. All methods are safe for concurrent use.
type Store interface {
	// Get gives the entry of a key, and false if there is none.
	Get(ctx context.Context, key string) (Entry, bool, error)

	// Range visits the entries whose keys start with the prefix, in the order of their keys, all as of one version
	// of the store, which it returns. It stops at the first error of visit and returns that.
	Range(ctx context.Context, prefix string, visit func(Entry) error) (version int64, err error)

	// Commit does the transaction. The error is nil exactly if the outcome is Done. A comparison that did not hold is
	// NotDone with a *ConflictError.
	//
	// An outcome of NotDone speaks of this call: if an earlier call with the same request id ended Unknown, only Done
	// or a conflict settle it.
	Commit(ctx context.Context, txn Txn) (Result, error)

	// Failed says why the store could not take a commit at the moment, or nil.
	Failed() error

	// Close ends the store. It waits for calls under way.
	Close() error
}

// Entry is one key with its value.
type Entry struct {
	Key     string
	Value   []byte // the caller's own
	Version int64  // of the store, when the key was last put; above 0
}

// Absent is the version of a key that does not exist.
const Absent = int64(0)

// Compare is a condition of a transaction: the key has this version, or is absent.
type Compare struct {
	Key     string
	Version int64
}

// Put is one key with the value it gets.
type Put struct {
	Key   string
	Value []byte
}

// RequestID names a transaction. It is random, so that no two processes ever use the same.
type RequestID [16]byte

// KeptRequests is the number of latest commits whose request ids are remembered.
const KeptRequests = 256

// Limits of a transaction.
const (
	MaxKey   = 4 << 10  // bytes of a key
	MaxValue = 16 << 20 // bytes of a value
)

// Txn is one atomic change: if all comparisons hold, all puts and deletes are done. Deleting a key that does not
// exist is legal.
type Txn struct {
	Request  RequestID
	Compares []Compare
	Puts     []Put
	Deletes  []string
}

// Check says what is wrong with the form of the transaction: no request id, an empty or overlong key, a key that is
// written twice.
func (t *Txn) Check() error {
	if t.Request == (RequestID{}) {
		return errors.New("transaction without a request id")
	}
	written := make(map[string]struct{}, len(t.Puts)+len(t.Deletes))
	check := func(key string) error {
		if key == "" || len(key) > MaxKey {
			return fmt.Errorf("key of %d bytes; it takes 1 to %d", len(key), MaxKey)
		}
		if _, twice := written[key]; twice {
			return fmt.Errorf("key %q is written twice", key)
		}
		written[key] = struct{}{}
		return nil
	}
	for _, p := range t.Puts {
		if err := check(p.Key); err != nil {
			return err
		}
		if len(p.Value) > MaxValue {
			return fmt.Errorf("value of key %q has %d bytes, at most %d are allowed", p.Key, len(p.Value), MaxValue)
		}
	}
	for _, key := range t.Deletes {
		if err := check(key); err != nil {
			return err
		}
	}
	return nil
}

// Outcome says what became of a transaction.
type Outcome int8

const (
	// NotDone means that nothing changed, and nothing will.
	NotDone Outcome = iota
	// Unknown means that it may have happened, once. Commit it again to find out.
	Unknown
	// Done means that it happened, and is durable.
	Done
)

// String names the outcome.
func (o Outcome) String() string {
	switch o {
	case NotDone:
		return "not done"
	case Unknown:
		return "unknown"
	case Done:
		return "done"
	}
	return fmt.Sprintf("outcome %d", int8(o))
}

// Result is the answer to a commit.
type Result struct {
	Outcome  Outcome
	Version  int64 // Done: the version of the store that the commit made
	Repeated bool  // Done: an earlier call with the same request id did it
}

// ConflictError tells which comparison did not hold.
type ConflictError struct {
	Key  string
	Want int64 // the version compared with; Absent: it was to be absent
	Have int64 // the version found; Absent: it does not exist
}

// Error tells the key and both versions.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("metadata key %q is at version %d, expected %d", e.Key, e.Have, e.Want)
}

// ErrDamaged is the cause of errors of a store that lost a part of what it held. It takes no commits: absence in it
// means nothing.
var ErrDamaged = errors.New("metadata is damaged; restore a copy of its directory")

// ErrClosed is the cause of every error after Close.
var ErrClosed = errors.New("metadata store is closed")

// conflict gives the first comparison that does not hold; version tells a key's version, Absent if there is none.
func conflict(compares []Compare, version func(key string) (int64, error)) error {
	for _, c := range compares {
		have, err := version(c.Key)
		if err != nil {
			return err
		}
		if have != c.Version {
			return &ConflictError{Key: c.Key, Want: c.Version, Have: have}
		}
	}
	return nil
}

// requests remembers which request made which of the last KeptRequests versions.
type requests struct {
	version int64 // of the store
	made    map[RequestID]int64
	recent  map[int64]RequestID
}

func newRequests() *requests {
	return &requests{made: map[RequestID]int64{}, recent: map[int64]RequestID{}}
}

// note remembers that a request made a version, and forgets the one that is too old now.
func (r *requests) note(id RequestID, version int64) {
	r.version = max(r.version, version)
	r.made[id] = version
	r.recent[version] = id
	if old, ok := r.recent[version-KeptRequests]; ok {
		delete(r.made, old)
		delete(r.recent, version-KeptRequests)
	}
}

// find gives the result of a request that was done before.
func (r *requests) find(id RequestID) (Result, bool) {
	version, ok := r.made[id]
	if !ok {
		return Result{}, false
	}
	return Result{Outcome: Done, Version: version, Repeated: true}, true
}
