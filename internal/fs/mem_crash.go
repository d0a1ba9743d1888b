package fs

import (
	"bytes"
	"maps"
	"math"
	"math/rand/v2"
)

// SectorSize is what a disk writes whole or not at all, in bytes.
const SectorSize = 512

// CrashConfig says how much of what was not synced survives a crash.
type CrashConfig struct {
	Rand         *rand.Rand // needed unless KeepUnsynced is 0 or 100
	KeepUnsynced int        // chance in percent that a thing that was not synced survives in its last version
	TearSectors  bool       // each sector survives or not by itself; else a file keeps its first writes, none of them torn

	// TearEntries makes each name of a directory survive or not by itself; else a directory keeps its first changes,
	// as journaling file systems do. Pebble counts on that order when it creates a database, and only then: a crash
	// may leave its marker without the manifest, which no later Open accepts.
	TearEntries bool
}

// Clone returns the file system as it is after kill -9 of the process: all that was written is there, what was not
// synced is still not durable, nothing is open or locked.
func (m *Mem) Clone() *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := m.newClone()
	copies := map[*node]*node{}
	c.root = copyTree(m.root, copies)
	for _, v := range m.moves {
		c.moves = append(c.moves, copyMove(v, copies))
	}
	c.recount()
	return c
}

// CrashClone returns the file system as it may be after the machine lost power now. All of it is durable.
func (m *Mem) CrashClone(cfg CrashConfig) *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	d := dice{cfg}
	c := m.newClone()
	c.root = d.tree(m.root, d.entries(m.moves), map[*node]*node{})
	c.recount()
	return c
}

func (m *Mem) newClone() *Mem {
	c := NewMem()
	c.capacity = m.capacity
	return c
}

// recount counts the names and the space of everything that can be reached.
func (m *Mem) recount() {
	seen := map[*node]bool{}
	var visit func(n *node)
	visit = func(n *node) {
		for _, child := range n.entries {
			child.links++
			if !seen[child] {
				seen[child] = true
				m.used += child.space()
				visit(child)
			}
		}
	}
	visit(m.root)
}

// copyTree copies a node and everything below it, durable entries included. A node with several names stays one.
func copyTree(n *node, copies map[*node]*node) *node {
	if c, ok := copies[n]; ok || n == nil {
		return c
	}
	c := &node{modTime: n.modTime, reserved: n.reserved}
	copies[n] = c
	if !n.isDir() {
		c.data = bytes.Clone(n.data)
		c.disk = bytes.Clone(n.disk)
		c.edits = append([]edit(nil), n.edits...) // their data never changes
		return c
	}
	c.entries, c.durable = map[string]*node{}, map[string]*node{}
	for name, child := range n.entries {
		c.entries[name] = copyTree(child, copies)
	}
	for name, child := range n.durable {
		c.durable[name] = copyTree(child, copies)
	}
	return c
}

func copyMove(v *move, copies map[*node]*node) *move {
	c := &move{}
	for _, e := range v.entries {
		c.entries = append(c.entries, entry{copyTree(e.dir, copies), e.name, copyTree(e.to, copies)})
	}
	return c
}

// dice decides what survives. The same Rand in the same state decides the same.
type dice struct{ CrashConfig }

// keep decides whether one thing survives in its last version.
func (d dice) keep() bool {
	switch {
	case d.KeepUnsynced <= 0:
		return false
	case d.KeepUnsynced >= 100:
		return true
	}
	return d.Rand.IntN(100) < d.KeepUnsynced
}

// version decides how many of n successive changes of one thing survive: all, or any smaller number.
func (d dice) version(n int) int {
	switch {
	case n == 0 || d.keep():
		return n
	case d.KeepUnsynced <= 0:
		return 0
	}
	return d.Rand.IntN(n)
}

// entries decides which moves survive and returns the directories that look different from their durable entries.
// Of the changes that keep an order among themselves the first ones survive.
func (d dice) entries(moves []*move) map[*node]map[string]*node {
	total := map[key]int{} // changes of each sequence
	for _, v := range moves {
		for _, e := range v.entries {
			total[d.sequence(e)]++
		}
	}
	left := map[key]int{} // those that survive and are still to come
	decide := func(k key) {
		if n := total[k]; n > 0 {
			total[k] = 0
			left[k] = d.version(n)
		}
	}
	changed := map[*node]map[string]*node{}
	for _, v := range moves {
		survives := true
		for _, e := range v.entries {
			decide(d.sequence(e))
			survives = survives && left[d.sequence(e)] > 0
		}
		for _, e := range v.entries {
			if !survives {
				left[d.sequence(e)] = 0 // and with it all that follow
				continue
			}
			left[d.sequence(e)]--
			if changed[e.dir] == nil {
				changed[e.dir] = maps.Clone(e.dir.durable)
			}
			set(changed[e.dir], e)
		}
	}
	return changed
}

// sequence names the changes that keep their order: those of one name, or of one directory.
func (d dice) sequence(e entry) key {
	if d.TearEntries {
		return e.key()
	}
	return key{dir: e.dir}
}

// tree returns what is left of a node and of everything below it.
func (d dice) tree(n *node, changed map[*node]map[string]*node, copies map[*node]*node) *node {
	if c, ok := copies[n]; ok {
		return c
	}
	c := &node{modTime: n.modTime}
	copies[n] = c
	if !n.isDir() {
		c.data = d.content(n)
		c.disk = bytes.Clone(c.data)
		return c
	}
	found := n.durable
	if entries, ok := changed[n]; ok {
		found = entries
	}
	c.entries = map[string]*node{}
	names := (&node{entries: found}).names() // in order, so that the dice fall the same way every time
	for _, name := range names {
		c.entries[name] = d.tree(found[name], changed, copies)
	}
	c.durable = maps.Clone(c.entries)
	return c
}

// content returns what is left of a file.
func (d dice) content(n *node) []byte {
	if d.TearSectors && d.KeepUnsynced > 0 && d.KeepUnsynced < 100 && len(n.edits) > 0 {
		return d.torn(n.disk, n.edits)
	}
	left := bytes.Clone(n.disk)
	for _, e := range n.edits[:d.version(len(n.edits))] {
		left = e.apply(left)
	}
	return left
}

// torn returns what is left of a file when every sector is on its own.
//
// A cut is metadata, and so is the size: file systems keep those in order. So if a cut is lost the later cuts and
// all growth behind it are lost too, and of the later writes only those that hit what even the cuts would have left
// may be found. Each sector went through the versions its writes gave it, and any of them may be the last to arrive.
func (d dice) torn(disk []byte, edits []edit) []byte {
	stop, limit := d.cuts(edits)
	size := d.size(int64(len(disk)), edits[:stop])

	room := max(size, int64(len(disk)))
	for _, e := range edits {
		room = max(room, e.end())
	}
	sectors := (room + SectorSize - 1) / SectorSize
	versions := make([]int, sectors)
	each := func(i int, visit func(sector int64)) {
		e := edits[i]
		if e.kind != editWrite {
			return
		}
		for s := e.off / SectorSize; s*SectorSize < e.end(); s++ {
			if i < stop || (s+1)*SectorSize <= limit {
				visit(s)
			}
		}
	}
	for i := range edits {
		each(i, func(s int64) { versions[s]++ })
	}
	for s, n := range versions {
		versions[s] = d.version(n)
	}

	left := make([]byte, sectors*SectorSize)
	copy(left, disk)
	for i, e := range edits {
		if e.kind == editCut && i < stop {
			clear(left[e.size:])
		}
		each(i, func(s int64) {
			if versions[s] > 0 {
				versions[s]--
				from, until := max(s*SectorSize, e.off), min((s+1)*SectorSize, e.end())
				copy(left[from:until], e.data[from-e.off:])
			}
		})
	}
	return left[:size:size]
}

// cuts decides which cuts survive: those before edits[stop]. Writes after it may be found below limit only.
func (d dice) cuts(edits []edit) (stop int, limit int64) {
	stop, limit = len(edits), math.MaxInt64
	for i, e := range edits {
		if e.kind != editCut {
			continue
		}
		if stop == len(edits) && !d.keep() {
			stop = i
		}
		if stop < len(edits) {
			limit = min(limit, e.size)
		}
	}
	return stop, limit
}

// size decides how large a file is found that had size bytes on the disk before the edits.
func (d dice) size(size int64, edits []edit) int64 {
	grown := size
	for _, e := range edits {
		if e.kind == editCut {
			size, grown = e.size, e.size
		} else {
			grown = max(grown, e.end())
		}
	}
	if grown == size || d.keep() {
		return grown
	}
	if d.Rand.IntN(2) == 0 {
		return size
	}
	return size + d.Rand.Int64N(grown-size)
}
