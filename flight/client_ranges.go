package flight

import (
	"cmp"
	"maps"
	"slices"
)

// rangeSet is a set of ranges. A range that was told twice, as after a lost acknowledgement, is in it once. The zero
// value is empty.
type rangeSet struct {
	buckets map[bucketName][]Range // by offset, apart from each other
	count   int
	cut     bool // there were more than are kept
}

// add joins a range with what it touches.
func (s *rangeSet) add(r Range) {
	if r.From >= r.Until {
		return
	}
	if s.buckets == nil {
		s.buckets = make(map[bucketName][]Range)
	}
	name := bucketName{r.Partition, r.Bucket}
	list := s.buckets[name]
	first, _ := slices.BinarySearchFunc(list, r, func(have, r Range) int { return cmp.Compare(have.Until, r.From) })
	last := first
	for last < len(list) && list[last].From <= r.Until {
		r.From, r.Until = min(r.From, list[last].From), max(r.Until, list[last].Until)
		last++
	}
	if last == first && s.count == maxRanges {
		s.cut = true
		return
	}
	s.count += 1 - (last - first)
	s.buckets[name] = slices.Replace(list, first, last, r)
}

// list gives the ranges by partition, bucket and offset.
func (s *rangeSet) list() []Range {
	names := slices.SortedFunc(maps.Keys(s.buckets), func(a, b bucketName) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.bucket, b.bucket))
	})
	all := make([]Range, 0, s.count)
	for _, name := range names {
		all = append(all, s.buckets[name]...)
	}
	return all
}
