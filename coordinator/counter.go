package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/quiverlog/quiver"
)

// ReserveNumbers takes numbers from the counter of a table: its auto-increment column has them, and none of them is
// given again.
type ReserveNumbers struct {
	Table quiver.TableID
	Count int64
}

// counter is the next number of a table's auto-increment column.
type counter struct {
	table quiver.TableID
	next  int64
}

type counterRecord struct {
	Next int64 `json:"next"`
}

// firstNumber is what counting begins with.
const firstNumber = 1

func findCounter(counters []counter, id quiver.TableID) (int, bool) {
	return slices.BinarySearchFunc(counters, id, func(c counter, id quiver.TableID) int { return cmp.Compare(c.table, id) })
}

func (c ReserveNumbers) apply(s *State) (*change, error) {
	t := s.tableByID(c.Table)
	if t == nil {
		return nil, quiver.Errorf(quiver.TableNotFound, "it does not exist").On(fmt.Sprintf("table %d", c.Table))
	}
	next := int64(firstNumber)
	if i, found := findCounter(s.counters, c.Table); found {
		next = s.counters[i].next
	}
	if c.Count < 1 || next > math.MaxInt64-c.Count {
		return nil, quiver.Errorf(quiver.QuotaExceeded, "%d numbers cannot be taken, the next one is %d", c.Count, next).On("table " + t.Path())
	}
	ch := s.newChange()
	ch.put(idKey(counterPrefix, c.Table), counterRecord{Next: next + c.Count})
	ch.result.Number = next
	return ch, nil
}

func (s *State) putCounter(key string, value []byte) error {
	id, err := parseIDKey[quiver.TableID](counterPrefix, key)
	if err != nil {
		return err
	}
	r, err := parseRecord[counterRecord](value)
	if err != nil {
		return err
	}
	if r.Next < firstNumber {
		return fmt.Errorf("the next number is %d", r.Next)
	}
	i, found := findCounter(s.counters, id)
	s.counters = with(s.counters, i, found, counter{id, r.Next})
	return nil
}

func (s *State) removeCounter(key string) error {
	id, err := parseIDKey[quiver.TableID](counterPrefix, key)
	if i, found := findCounter(s.counters, id); err == nil && found {
		s.counters = without(s.counters, i, i+1)
	}
	return err
}

// ReserveNumbers takes so many numbers from a table's counter and gives the first.
func (c *Coordinator) ReserveNumbers(ctx context.Context, table quiver.TableID, count int64) (first int64, err error) {
	r, err := c.do(ctx, ReserveNumbers{Table: table, Count: count})
	return r.Number, err
}
