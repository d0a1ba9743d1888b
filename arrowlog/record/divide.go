package record

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/quiverlog/quiver"
)

// NoBucket stands for a row whose bucket is not decided by its content.
const NoBucket = int32(-1)

// Divider divides batches of a table by partition and bucket. It is made once for a schema and may be used by many
// goroutines.
//
// Only key columns are looked at, in the body as it lies (of a compressed body, they alone are decompressed unless the
// rows really fall apart): a pass over each key column hashes it, a pass over each partition column numbers its values,
// rows are sorted by counting, and Select makes the shares.
type Divider struct {
	table     *quiver.Table
	layout    *Layout
	keys      []int // places of the columns that are looked at, ascending
	hashed    []int // of the bucket key, in key order: places in keys
	parted    []int // of the partition columns, in their order: places in keys
	keyLayout *Layout

	mu    sync.Mutex
	names map[string]string // of partitions, by the bytes of their values
}

// maxNames bounds how many names of partitions are remembered; then they are forgotten, all at once.
const maxNames = 4096

// Share is the rows of a batch that fall into one bucket of one partition, in the order they had.
type Share struct {
	Partition string // canonical name; "" on unpartitioned tables
	Bucket    int32  // NoBucket on tables without bucket key
	Batch     *Batch // one reference is the caller's
}

// NewDivider makes the divider of a table. layout is that of its schema.
func NewDivider(table *quiver.Table, layout *Layout) (*Divider, error) {
	d := &Divider{table: table, layout: layout, names: make(map[string]string)}
	all := append(append([]quiver.ColumnID(nil), table.BucketKey...), table.PartitionBy...)
	for _, id := range all {
		at := table.Schema.Index(id)
		if at < 0 || at >= layout.NumColumns() {
			return nil, quiver.Errorf(quiver.Internal, "key column %d is not in the schema", id).On("table " + table.Path())
		}
		if !hashes(&layout.slots[at]) {
			return nil, layout.slots[at].fail(quiver.Internal, "its type is none of a key")
		}
		d.keys = append(d.keys, at)
	}
	slices.Sort(d.keys)
	d.keys = slices.Compact(d.keys)
	place := func(id quiver.ColumnID) int {
		at, _ := slices.BinarySearch(d.keys, table.Schema.Index(id))
		return at
	}
	for _, id := range table.BucketKey {
		d.hashed = append(d.hashed, place(id))
	}
	for _, id := range table.PartitionBy {
		d.parted = append(d.parted, place(id))
	}
	d.keyLayout = layout.Pick(d.keys)
	return d, nil
}

// Divide gives the shares of a batch, ordered by partition and bucket; one without rows has none. Where all rows fall
// into one, its batch is the given one, retained. Others are compressed as the table's option says, or else as the
// batch was. A row that cannot be placed (a partition value that is no name) is SCHEMA_MISMATCH.
func (d *Divider) Divide(b *Batch) ([]Share, error) {
	if b.rows == 0 {
		return nil, nil
	}
	if len(d.keys) == 0 {
		return []Share{{Bucket: NoBucket, Batch: b.Retain()}}, nil
	}
	if b.layout != d.layout && !d.layout.same(b.layout) {
		return nil, quiver.Errorf(quiver.Internal, "a batch of another layout is divided").On("table " + d.table.Path())
	}
	s := scratchPool.Get().(*scratch)
	defer s.recycle()
	keys, err := d.read(b, s)
	if err != nil {
		return nil, err
	}
	defer keys.Release()
	buckets, err := d.buckets(b.rows, s)
	if err != nil {
		return nil, err
	}
	parts, err := d.partitions(b.rows, s)
	if err != nil {
		return nil, err
	}
	if one, ok := single(buckets, parts); ok {
		one.Batch = b.Retain()
		return []Share{one}, nil
	}
	return d.shares(b, s.sorted(buckets, int(d.table.Buckets), parts), buckets, parts)
}

// read reads the key columns into s.columns. They lie in the batch that is given back.
func (d *Divider) read(b *Batch, s *scratch) (*Batch, error) {
	keys, at := b.Retain(), d.keys
	if b.codec != None {
		b.Release()
		picked, err := b.Arrange(d.keyLayout, d.keys)
		if err != nil {
			return nil, err
		}
		defer picked.Release()
		if keys, err = picked.inflate(); err != nil {
			return nil, err
		}
		at = nil
	}
	s.columns = s.columns[:0]
	for i := range d.keys {
		if at != nil {
			i = at[i]
		}
		s.columns = append(s.columns, keys.column(i))
	}
	return keys, nil
}

// buckets gives each row's bucket. nil: the table has no bucket key.
func (d *Divider) buckets(rows int, s *scratch) ([]int32, error) {
	if len(d.hashed) == 0 {
		return nil, nil
	}
	s.buckets = sized(s.buckets, rows)
	if d.table.Buckets == 1 {
		clear(s.buckets)
		return s.buckets, nil
	}
	s.hashes = sized(s.hashes, rows)
	for i, at := range d.hashed {
		hashColumn(s.hashes, &d.keyLayout.slots[at], &s.columns[at])
		if len(d.hashed) == 1 {
			break
		}
		s.mixed = sized(s.mixed, rows)
		if i == 0 {
			clear(s.mixed)
		}
		for row, h := range s.hashes {
			s.mixed[row] = quiver.HashMix(s.mixed[row], h)
		}
	}
	hashes := s.hashes
	if n := len(d.hashed); n > 1 {
		hashes = s.mixed
		for row, h := range hashes {
			hashes[row] = quiver.HashEnd(h, 4*n)
		}
	}
	modulo(s.buckets, hashes, d.table.Buckets)
	return s.buckets, nil
}

// partitions numbers each row's partition. nil: the table is not partitioned.
func (d *Divider) partitions(rows int, s *scratch) (*partitions, error) {
	if len(d.parted) == 0 {
		return nil, nil
	}
	p := &s.partitions
	p.number(rows, d, s)
	p.names = p.names[:0]
	for _, row := range p.first {
		name, err := d.name(s, row)
		if err != nil {
			return nil, err
		}
		p.names = append(p.names, name)
	}
	p.order()
	return p, nil
}

// name is the name of a row's partition.
func (d *Divider) name(s *scratch, row int32) (string, error) {
	s.key = s.key[:0]
	for _, at := range d.parted {
		s.key = appendKey(s.key, &d.keyLayout.slots[at], &s.columns[at], int(row))
	}
	d.mu.Lock()
	name, ok := d.names[string(s.key)]
	d.mu.Unlock()
	if ok {
		return name, nil
	}
	parts := make([]any, len(d.parted))
	for i, at := range d.parted {
		parts[i] = valueAt(&d.keyLayout.slots[at], &s.columns[at], int(row))
	}
	name, err := d.table.PartitionName(parts)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.names) >= maxNames {
		clear(d.names)
	}
	d.names[string(s.key)] = name
	return name, nil
}

// single is the one share that all rows fall into.
func single(buckets []int32, parts *partitions) (one Share, ok bool) {
	one.Bucket = NoBucket
	if parts != nil {
		if len(parts.names) > 1 {
			return one, false
		}
		one.Partition = parts.names[0]
	}
	if buckets != nil {
		one.Bucket = buckets[0]
		for _, bucket := range buckets {
			if bucket != one.Bucket {
				return one, false
			}
		}
	}
	return one, true
}

// shares makes the batches of rows that are sorted by partition and bucket.
func (d *Divider) shares(b *Batch, rows, buckets []int32, parts *partitions) (shares []Share, err error) {
	plain, err := b.inflate()
	if err != nil {
		return nil, err
	}
	defer plain.Release()
	defer func() {
		if err != nil {
			for _, s := range shares {
				s.Batch.Release()
			}
			shares = nil
		}
	}()
	codec := d.codec(b)
	for len(rows) > 0 {
		share := Share{Bucket: NoBucket}
		n := 1
		for n < len(rows) && (buckets == nil || buckets[rows[n]] == buckets[rows[0]]) &&
			(parts == nil || parts.of[rows[n]] == parts.of[rows[0]]) {
			n++
		}
		if buckets != nil {
			share.Bucket = buckets[rows[0]]
		}
		if parts != nil {
			share.Partition = parts.names[parts.of[rows[0]]]
		}
		if share.Batch, err = plain.share(rows[:n], codec); err != nil {
			return shares, err
		}
		shares = append(shares, share)
		rows = rows[n:]
	}
	return shares, nil
}

// share is the batch of some rows, compressed by the codec.
func (b *Batch) share(rows []int32, codec Compression) (*Batch, error) {
	out, err := b.Select(rows)
	if err != nil || codec == None {
		return out, err
	}
	defer out.Release()
	out.Summarize(b.summary)
	return out.deflate(codec), nil
}

// codec is how shares are compressed.
func (d *Divider) codec(b *Batch) Compression {
	codec, err := ParseCompression(d.table.Options.Compression)
	if err != nil { // as-sent
		return b.codec
	}
	return codec
}

// scratch is memory to divide one batch. All slices have a row's entry in its place.
type scratch struct {
	columns    []values // the key columns
	buckets    []int32
	hashes     []uint32
	mixed      []uint32 // hashes of several columns
	partitions partitions
	rows, swap []int32 // rows, sorted
	counts     []int32 // of a counting sort
	key        []byte  // the values of one row
	order      []sortKey
}

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

// maxScratch is the number of rows up to which memory is kept for the next batch.
const maxScratch = 1 << 18

func (s *scratch) recycle() {
	clear(s.columns[:cap(s.columns)])
	s.partitions.forget()
	if cap(s.buckets) <= maxScratch && cap(s.partitions.of) <= maxScratch {
		scratchPool.Put(s)
	}
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// sortKey is a row of a few that are sorted by comparing.
type sortKey struct{ partition, bucket, row int32 }

// fewRows is how many rows are sorted by comparing, whatever they would be counted by.
const fewRows = 256

// sorted lists the rows by partition, then bucket, then as they were.
func (s *scratch) sorted(buckets []int32, numBuckets int, parts *partitions) []int32 {
	n := len(buckets)
	if parts != nil {
		n = len(parts.of)
	}
	s.rows = sized(s.rows, n)
	if n <= fewRows || numBuckets > 4*n {
		return s.compared(buckets, parts)
	}
	for i := range s.rows {
		s.rows[i] = int32(i)
	}
	if buckets != nil {
		s.countingSort(buckets, numBuckets)
	}
	if parts != nil {
		s.countingSort(parts.of, len(parts.names))
	}
	return s.rows
}

func (s *scratch) compared(buckets []int32, parts *partitions) []int32 {
	s.order = sized(s.order, len(s.rows))
	for i := range s.order {
		k := sortKey{row: int32(i)}
		if buckets != nil {
			k.bucket = buckets[i]
		}
		if parts != nil {
			k.partition = parts.of[i]
		}
		s.order[i] = k
	}
	slices.SortFunc(s.order, func(a, b sortKey) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.row, b.row))
	})
	for i, k := range s.order {
		s.rows[i] = k.row
	}
	return s.rows
}

// countingSort sorts s.rows by a key that is below n, keeping the order of those that have the same.
func (s *scratch) countingSort(keys []int32, n int) {
	s.counts = sized(s.counts, n+1)
	clear(s.counts)
	for _, k := range keys {
		s.counts[k+1]++
	}
	for i := 1; i < n; i++ {
		s.counts[i] += s.counts[i-1]
	}
	s.swap = sized(s.swap, len(s.rows))
	for _, row := range s.rows {
		k := keys[row]
		s.swap[s.counts[k]] = row
		s.counts[k]++
	}
	s.rows, s.swap = s.swap, s.rows
}

// partitions numbers the partitions of a batch's rows.
type partitions struct {
	of    []int32  // of each row: its partition
	first []int32  // of each partition: its first row
	names []string // of each partition

	codes numberer
	pairs numberer
	of2   []int32
	rank  []int32
}

// number gives rows with the same values in the partition columns the same number.
func (p *partitions) number(rows int, d *Divider, s *scratch) {
	p.of, p.first = sized(p.of, rows), p.first[:0]
	for i, at := range d.parted {
		if i == 0 {
			p.codes.column(p.of, &d.keyLayout.slots[at], &s.columns[at])
			continue
		}
		p.of2 = sized(p.of2, rows)
		p.codes.column(p.of2, &d.keyLayout.slots[at], &s.columns[at])
		p.pairs.reset()
		for row, code := range p.of2 {
			p.of[row] = p.pairs.word(uint64(uint32(p.of[row]))<<32 | uint64(uint32(code)))
		}
	}
	// Numbers are given in the order in which values come: the first row of each is where it is new.
	for row, n := range p.of {
		if int(n) == len(p.first) {
			p.first = append(p.first, int32(row))
		}
	}
}

// order numbers the partitions anew, in the order of their names. Several may have the same, which makes them one: not
// every difference between values shows in a name (a time zone's offset, a decimal's scale).
func (p *partitions) order() {
	n := len(p.names)
	if n == 1 {
		return
	}
	sorted := make([]int32, n)
	for i := range sorted {
		sorted[i] = int32(i)
	}
	slices.SortFunc(sorted, func(a, b int32) int { return strings.Compare(p.names[a], p.names[b]) })
	p.rank = sized(p.rank, n)
	names := make([]string, 0, n)
	for _, old := range sorted {
		if last := len(names) - 1; last < 0 || names[last] != p.names[old] {
			names = append(names, p.names[old])
		}
		p.rank[old] = int32(len(names) - 1)
	}
	p.names = names
	for row, old := range p.of {
		p.of[row] = p.rank[old]
	}
}

// forget drops what belongs to one batch.
func (p *partitions) forget() {
	clear(p.names[:cap(p.names)])
	p.names = p.names[:0]
	p.codes.reset()
	p.pairs.reset()
}
