package arrowlog

import (
	"container/list"
	"sync"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// layouts holds one layout per table schema, shared by all buckets and segments of the table.
type layouts struct {
	mu   sync.Mutex
	byID map[layoutKey]*record.Layout
}

type layoutKey struct {
	table  quiver.TableID
	schema quiver.SchemaID
}

// of gives the layout of a table's schema.
func (c *layouts) of(table quiver.TableID, s *quiver.Schema) (*record.Layout, error) {
	return c.get(layoutKey{table, s.ID()}, func() (*record.Layout, error) { return record.NewLayout(s) })
}

// stored gives the layout of a segment's schema, which is read from its message if nobody had it before.
func (c *layouts) stored(table quiver.TableID, id quiver.SchemaID, message []byte) (*record.Layout, error) {
	return c.get(layoutKey{table, id}, func() (*record.Layout, error) {
		_, s, err := record.ParseSegmentSchema(message)
		if err != nil {
			return nil, err
		}
		return record.SegmentLayout(s, id)
	})
}

func (c *layouts) get(key layoutKey, build func() (*record.Layout, error)) (*record.Layout, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.byID[key]; l != nil {
		return l, nil
	}
	l, err := build()
	if err != nil {
		return nil, err
	}
	if c.byID == nil {
		c.byID = map[layoutKey]*record.Layout{}
	}
	c.byID[key] = l
	return l, nil
}

// drop forgets the layouts of a table that is gone.
func (c *layouts) drop(table quiver.TableID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.byID {
		if key.table == table {
			delete(c.byID, key)
		}
	}
}

// indexCache bounds the memory of the indexes of closed segments: the ones not used for longest go first.
type indexCache struct {
	limit int64

	mu    sync.Mutex
	bytes int64
	order list.List // of *segment, used longest ago in front
	place map[*segment]*list.Element
	size  map[*segment]int64
}

func newIndexCache(limit int64) *indexCache {
	return &indexCache{limit: limit, place: map[*segment]*list.Element{}, size: map[*segment]int64{}}
}

// bytesOf is what an index takes in memory, about.
func bytesOf(x *index) int64 { return 64 + int64(len(x.entries))*40 + int64(len(x.blocks))*8 }

// add counts an index that was just given to its segment.
func (c *indexCache) add(s *segment, x *index) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.place[s]; ok {
		c.dropLocked(s)
		s.idx.Store(x)
	}
	c.place[s] = c.order.PushBack(s)
	c.size[s] = bytesOf(x)
	c.bytes += c.size[s]
	for c.bytes > c.limit && c.order.Len() > 1 {
		c.dropLocked(c.order.Front().Value.(*segment))
	}
}

// touch notes that an index is used.
func (c *indexCache) touch(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.place[s]; e != nil {
		c.order.MoveToBack(e)
	}
}

// drop takes an index out of memory. Whoever reads it keeps it.
func (c *indexCache) drop(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(s)
}

func (c *indexCache) dropLocked(s *segment) {
	s.idx.Store(nil)
	if e := c.place[s]; e != nil {
		c.order.Remove(e)
		c.bytes -= c.size[s]
		delete(c.place, s)
		delete(c.size, s)
	}
}
