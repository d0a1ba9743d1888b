package coordinator

import (
	"slices"

	"github.com/quiverlog/quiver/coordinator/metastore"
)

// group joins the transactions of several commands into one, each decided on what the ones before it lead to.
type group struct {
	calls    []*call // that wait for it
	next     *State
	compares []metastore.Compare
	keys     []string          // that are written, in the order of their first write
	writes   map[string][]byte // what is written last; nil: the key is deleted
}

func newGroup(s *State) *group {
	next := *s
	return &group{next: &next, writes: map[string][]byte{}}
}

// apply decides one more command and takes its transaction in.
func (g *group) apply(c Command) (Result, error) {
	txn, result, err := Apply(g.next, c)
	if err != nil {
		return Result{}, err
	}
	next := *g.next
	if err := next.fold(&txn); err != nil {
		return Result{}, err
	}
	g.next = &next
	g.add(&txn)
	return result, nil
}

// add takes a transaction in. A comparison with a key that the group wrote says nothing about the store: it holds,
// since the command was decided on the group's state.
func (g *group) add(txn *metastore.Txn) {
	for _, compare := range txn.Compares {
		if _, written := g.writes[compare.Key]; !written {
			g.compares = append(g.compares, compare)
		}
	}
	for _, p := range txn.Puts {
		g.write(p.Key, p.Value)
	}
	for _, key := range txn.Deletes {
		g.write(key, nil)
	}
}

func (g *group) write(key string, value []byte) {
	if _, written := g.writes[key]; !written {
		g.keys = append(g.keys, key)
	}
	g.writes[key] = value
}

// txn gives the transaction of the group, which is complete then.
func (g *group) txn() metastore.Txn {
	g.next.settle()
	txn := metastore.Txn{Compares: slices.Clip(g.compares)}
	for _, key := range g.keys {
		if value := g.writes[key]; value != nil {
			txn.Puts = append(txn.Puts, metastore.Put{Key: key, Value: value})
		} else {
			txn.Deletes = append(txn.Deletes, key)
		}
	}
	return txn
}
