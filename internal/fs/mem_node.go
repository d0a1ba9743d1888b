package fs

import (
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"syscall"
	"time"
)

// node is a file or a directory, however many names it has. Mem.mu guards it.
type node struct {
	modTime time.Time
	links   int // names it has now
	opens   int // handles of it

	// A directory. Both maps are nil for files.
	entries map[string]*node // as it looks now
	durable map[string]*node // as it would look after a crash that loses all of Mem.moves

	// A file.
	data     []byte // as it reads now
	disk     []byte // as it would read after a crash that loses all edits
	edits    []edit // what was done to it since, oldest first
	reserved int64  // bytes that have space on the disk, also beyond the size
}

func newFile() *node { return &node{modTime: time.Now()} }

func newDir() *node {
	return &node{modTime: time.Now(), entries: map[string]*node{}, durable: map[string]*node{}}
}

func (n *node) isDir() bool { return n.entries != nil }

// names returns the names in a directory in order; a file has none.
func (n *node) names() []string { return slices.Sorted(maps.Keys(n.entries)) }

// space returns the bytes a file takes of the capacity.
func (n *node) space() int64 { return max(int64(len(n.data)), n.reserved) }

// editKind says how an edit changes a file.
type editKind int8

const (
	editWrite  editKind = iota // data at off, growing the file if it ends beyond
	editExtend                 // zeros up to size
	editCut                    // nothing from size on
)

// edit is one change of a file's content that is not durable.
type edit struct {
	kind editKind
	off  int64
	data []byte // the file's own copy
	size int64
}

// end returns the size the file has at least after the edit.
func (e edit) end() int64 {
	if e.kind == editWrite {
		return e.off + int64(len(e.data))
	}
	return e.size
}

// apply performs the edit on the content.
func (e edit) apply(content []byte) []byte {
	if e.end() > int64(len(content)) { // true of a cut only when a failed sync lost what came before it
		content = grow(content, e.end())
	}
	switch e.kind {
	case editWrite:
		copy(content[e.off:], e.data)
	case editCut:
		content = content[:e.size]
	}
	return content
}

// grow extends the content with zeros to size, which is not less than it has.
func grow(content []byte, size int64) []byte {
	have := len(content)
	if size > int64(cap(content)) {
		larger := make([]byte, size, max(size, 2*int64(cap(content))))
		copy(larger, content)
		return larger
	}
	content = content[:size]
	clear(content[have:]) // a cut leaves old bytes behind the end
	return content
}

// edit performs an edit and remembers it. It returns by how much the file's space grew.
func (n *node) edit(e edit) (grown int64) {
	before := n.space()
	n.data = e.apply(n.data)
	n.edits = append(n.edits, e)
	if e.kind == editCut {
		n.reserved = e.size
	}
	return n.space() - before
}

// resize cuts or extends the file.
func (n *node) resize(size int64) (grown int64) {
	if size < int64(len(n.data)) {
		return n.edit(edit{kind: editCut, size: size})
	}
	return n.edit(edit{kind: editExtend, size: size})
}

// sync makes the content durable.
func (n *node) sync() {
	for _, e := range n.edits {
		n.disk = e.apply(n.disk)
	}
	n.edits = nil
}

// entry says what a name in a directory stands for; nil means nothing.
type entry struct {
	dir  *node
	name string
	to   *node
}

// key identifies an entry without its meaning.
type key struct {
	dir  *node
	name string
}

func (e entry) key() key { return key{e.dir, e.name} }

// move is one change of directory entries: they change together or not at all.
type move struct{ entries []entry }

// touches tells whether the move changes an entry in the set.
func (v *move) touches(keys map[key]bool) bool {
	return slices.ContainsFunc(v.entries, func(e entry) bool { return keys[e.key()] })
}

// in tells whether the move changes the directory.
func (v *move) in(dir *node) bool {
	return slices.ContainsFunc(v.entries, func(e entry) bool { return e.dir == dir })
}

func (v *move) addTo(keys map[key]bool) {
	for _, e := range v.entries {
		keys[e.key()] = true
	}
}

// change performs a move and remembers it; m.mu must be held.
func (m *Mem) change(entries ...entry) {
	for _, e := range entries { // first, so that a node on its way to another name is never without one
		if e.to != nil {
			e.to.links++
		}
	}
	for _, e := range entries {
		old := e.dir.entries[e.name]
		set(e.dir.entries, e)
		e.dir.modTime = time.Now()
		if old != nil {
			old.links--
			m.maybeFree(old)
		}
	}
	m.moves = append(m.moves, &move{entries})
}

// maybeFree gives back the space of a file that has neither a name nor a handle; m.mu must be held.
func (m *Mem) maybeFree(n *node) {
	if n.links == 0 && n.opens == 0 {
		m.used -= n.space()
	}
}

func set(entries map[string]*node, e entry) {
	if e.to == nil {
		delete(entries, e.name)
	} else {
		entries[e.name] = e.to
	}
}

// syncDir makes the entries of a directory durable; m.mu must be held. With a move between directories the other end
// becomes durable too, and with it all that happened to that name before.
func (m *Mem) syncDir(dir *node) {
	keys := map[key]bool{}
	done := make([]bool, len(m.moves))
	for i, v := range slices.Backward(m.moves) {
		if v.in(dir) || v.touches(keys) {
			v.addTo(keys)
			done[i] = true
		}
	}
	var left []*move
	for i, v := range m.moves {
		if !done[i] {
			left = append(left, v)
			continue
		}
		for _, e := range v.entries {
			set(e.dir.durable, e)
		}
	}
	m.moves = left
}

// info describes the node as it is now.
func (n *node) info(name string) FileInfo {
	return &nodeInfo{name: path.Base(name), size: int64(len(n.data)), modTime: n.modTime, dir: n.isDir()}
}

func pathError(op, name string, errno syscall.Errno) error {
	return &os.PathError{Op: op, Path: name, Err: errno}
}

func isNotExist(err error) bool { return errors.Is(err, os.ErrNotExist) }
