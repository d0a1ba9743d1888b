// Package agenda keeps what is to be looked at when, so that a round of maintenance costs what is due, not what there
// is.
package agenda

import (
	"container/heap"
	"sync"
)

// Agenda holds keys, each with the moment at which it is due. Its methods may be called from many goroutines. The zero
// value is empty.
type Agenda[K comparable] struct {
	mu    sync.Mutex
	byKey map[K]*item[K]
	due   byTime[K]
}

// item is one key's place.
type item[K comparable] struct {
	key   K
	at    int64
	place int // in the heap
}

// Add has a key come up at the moment given, or earlier if it was to come up earlier.
func (a *Agenda[K]) Add(key K, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.byKey[key]; i != nil {
		if at < i.at {
			i.at = at
			heap.Fix(&a.due, i.place)
		}
		return
	}
	if a.byKey == nil {
		a.byKey = map[K]*item[K]{}
	}
	i := &item[K]{key: key, at: at}
	a.byKey[key] = i
	heap.Push(&a.due, i)
}

// Take takes off at most so many keys that are due now, the longest due first. Who is to come up again is added again.
func (a *Agenda[K]) Take(now int64, most int) (keys []K) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.due) > 0 && a.due[0].at <= now && len(keys) < most {
		i := heap.Pop(&a.due).(*item[K])
		delete(a.byKey, i.key)
		keys = append(keys, i.key)
	}
	if len(a.due) == 0 {
		a.byKey, a.due = nil, nil // the memory of a crowd that has gone
	}
	return keys
}

// Remove takes a key off.
func (a *Agenda[K]) Remove(key K) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.byKey[key]; i != nil {
		heap.Remove(&a.due, i.place)
		delete(a.byKey, key)
	}
}

// Len is the number of keys.
func (a *Agenda[K]) Len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.due)
}

// byTime is a heap, the next that is due on top.
type byTime[K comparable] []*item[K]

func (h byTime[K]) Len() int           { return len(h) }
func (h byTime[K]) Less(i, j int) bool { return h[i].at < h[j].at }

func (h byTime[K]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push is for package heap.
func (h *byTime[K]) Push(x any) {
	i := x.(*item[K])
	i.place = len(*h)
	*h = append(*h, i)
}

// Pop is for package heap.
func (h *byTime[K]) Pop() any {
	n := len(*h) - 1
	i := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return i
}
