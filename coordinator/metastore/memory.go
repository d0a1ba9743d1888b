package metastore

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
)

// Memory is a Store that keeps nothing: a map under a mutex. It is the model that the other implementations are
// compared with, and what tests of the coordinator run on.
type Memory struct {
	mu       sync.Mutex
	closed   bool
	entries  map[string]Entry
	requests *requests
}

// NewMemory gives an empty store.
func NewMemory() *Memory {
	return &Memory{entries: map[string]Entry{}, requests: newRequests()}
}

var _ Store = (*Memory)(nil)

// Get implements Store.
func (m *Memory) Get(ctx context.Context, key string) (Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usableLocked(ctx); err != nil {
		return Entry{}, false, err
	}
	e, ok := m.entries[key]
	e.Value = bytes.Clone(e.Value)
	return e, ok, nil
}

// Range implements Store.
func (m *Memory) Range(ctx context.Context, prefix string, visit func(Entry) error) (int64, error) {
	found, version, err := m.find(ctx, prefix)
	if err != nil {
		return 0, err
	}
	for _, e := range found {
		e.Value = bytes.Clone(e.Value)
		if err := visit(e); err != nil {
			return 0, err
		}
	}
	return version, nil
}

func (m *Memory) find(ctx context.Context, prefix string) ([]Entry, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usableLocked(ctx); err != nil {
		return nil, 0, err
	}
	var found []Entry
	for key, e := range m.entries {
		if strings.HasPrefix(key, prefix) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return found, m.requests.version, nil
}

// Commit implements Store.
func (m *Memory) Commit(ctx context.Context, txn Txn) (Result, error) {
	if err := txn.Check(); err != nil {
		return Result{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usableLocked(ctx); err != nil {
		return Result{}, err
	}
	if r, ok := m.requests.find(txn.Request); ok {
		return r, nil
	}
	err := conflict(txn.Compares, func(key string) (int64, error) { return m.entries[key].Version, nil })
	if err != nil {
		return Result{}, err
	}
	version := m.requests.version + 1
	for _, p := range txn.Puts {
		m.entries[p.Key] = Entry{Key: p.Key, Value: bytes.Clone(p.Value), Version: version}
	}
	for _, key := range txn.Deletes {
		delete(m.entries, key)
	}
	m.requests.note(txn.Request, version)
	return Result{Outcome: Done, Version: version}, nil
}

// Failed implements Store: it never fails.
func (m *Memory) Failed() error { return nil }

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *Memory) usableLocked(ctx context.Context) error {
	if m.closed {
		return ErrClosed
	}
	return ctx.Err()
}
