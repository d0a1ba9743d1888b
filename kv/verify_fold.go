package kv

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver"
)

// The rows of a bucket are the fold of its changelog. That is checked the obvious way: the changelog is read from its
// start to the mark, and of each key the last change is kept in mind. Where the keys take more memory than there is to
// be, they are split in two by their hash, and the log is read once for each half, and so on.
//
// Where retention has taken the beginning of the log, a row whose key no change is about must have been changed last
// before the log begins.

// Log is a bucket's changelog, as Verify reads it.
type Log struct {
	Start, End quiver.Offset
	// Each gives the pieces of the log from its start on, in order, until visit gives an error.
	Each func(visit func(*Changelog) error) error
}

// Limits of the check of one bucket.
const (
	foldBytes    = 64 << 20 // of keys that are kept in mind at once
	foldCost     = 64       // of one key, beside its bytes
	mostFindings = 20
)

// Verify compares the rows of a bucket with its changelog, and the changelog with itself. The error is the context's, or
// one of reading the log.
func (v *Verifier) Verify(ctx context.Context, id quiver.BucketID, c Config, log Log) ([]quiver.Finding, error) {
	return v.verify(ctx, id, c, log, foldBytes)
}

// verify does that by so much memory. The checkpoint comes first: what is found wrong with the rows depends on it.
func (v *Verifier) verify(ctx context.Context, id quiver.BucketID, c Config, log Log, budget int) ([]quiver.Finding, error) {
	var all []quiver.Finding
	restorable := false
	for _, checked := range []*Verifier{v.saved, v} {
		if checked == nil || checked.sealed && !checked.Readable() {
			continue
		}
		f := &foldCheck{ctx: ctx, v: checked, id: id, log: log, seed: maphash.MakeSeed(), budget: budget, schemas: map[quiver.SchemaID]bool{}}
		f.restorable = restorable
		if err := f.run(c); err != nil {
			return nil, err
		}
		if n := f.more; n > 0 {
			f.findings[len(f.findings)-1].Problem += fmt.Sprintf("; %d more like this were found in the bucket", n)
		}
		restorable = checked.sealed && len(f.findings) == 0
		all = append(all, f.findings...)
	}
	return all, nil
}

// foldCheck is the check of one bucket, in the store or in the checkpoint.
type foldCheck struct {
	restorable bool // the checkpoint has the rows of the bucket, and the log goes on from there

	ctx      context.Context
	v        *Verifier
	id       quiver.BucketID
	log      Log
	seed     maphash.Seed
	budget   int
	findings []quiver.Finding
	more     int

	mark    Mark
	tablet  *Tablet
	rows    int64
	schemas map[quiver.SchemaID]bool // of rows: whether the database has them
}

func (f *foldCheck) add(at quiver.OffsetSpan, format string, args ...any) {
	if len(f.findings) == mostFindings {
		f.more++
		return
	}
	f.findings = append(f.findings, quiver.Finding{Kind: quiver.FindingRows, File: f.v.database, Bucket: &f.id,
		Offsets: at, Problem: fmt.Sprintf(format, args...), Effect: f.effect()})
}

// effect is what it means that the rows are not the fold of the changelog, and what to do.
func (f *foldCheck) effect() string {
	switch {
	case f.v.sealed:
		return effectFoldCopy
	case f.restorable:
		return effectFoldMend
	case f.log.Start > 0:
		return effectFoldLost
	}
	return effectFold
}

func (f *foldCheck) run(c Config) error {
	var err error
	if f.v.Readable() {
		if f.mark, err = f.v.store.mark(f.v.store.engine.db, f.id); err != nil {
			f.add(quiver.OffsetSpan{}, "the mark of the bucket cannot be read: %s", oneLine(err))
			return nil
		}
	}
	switch {
	case f.mark.Applied < f.log.Start && (f.v.damaged || f.v.store == nil && f.restorable):
		return nil // told with the damage, or restored by the next start
	case f.mark.Applied < f.log.Start:
		f.add(quiver.OffsetSpan{From: f.mark.Applied, Until: f.log.Start}, "the rows are those at offset %d, and the log begins at %d: the changes between are lost", f.mark.Applied, f.log.Start)
		f.findings[0].Effect = f.lost("the bucket cannot be led any more: restore a copy of the directory, or load the table anew")
		return nil
	case f.mark.Applied > f.log.End:
		f.add(quiver.OffsetSpan{From: f.log.End, Until: f.mark.Applied}, "the rows are those at offset %d, and the log ends at %d", f.mark.Applied, f.log.End)
		f.findings[0].Effect = f.lost("the server makes the rows again from the log, as far as that goes back")
		return nil
	case !f.v.Readable():
		return nil
	}
	if f.tablet, err = f.v.store.Tablet(f.id, c); err != nil {
		f.add(quiver.OffsetSpan{}, "the rows cannot be read: %s", oneLine(err))
		return nil
	}
	if err := f.share(0, 0); err != nil {
		return err
	}
	if f.rows != f.mark.Rows && f.more == 0 && len(f.findings) < mostFindings {
		f.add(quiver.OffsetSpan{}, "the bucket counts %d rows, it has %d", f.mark.Rows, f.rows)
	}
	return nil
}

// lost is what it means that rows and log do not fit together at all, where nothing else helps.
func (f *foldCheck) lost(otherwise string) string {
	switch {
	case f.v.sealed:
		return effectUseless
	case f.restorable:
		return "the server takes the rows of the bucket from the checkpoint"
	}
	return otherwise
}

// change is what the log says of a key.
type change struct {
	offset quiver.Offset // of the last change
	sum    uint64        // of the row that it leaves
	live   bool          // there is one
	found  bool          // among the rows
}

// errFoldTooLarge means that the keys take too much memory at once.
var errFoldTooLarge = errors.New("kv: too many keys for one pass")

// share checks the keys whose hash ends in so many bits of a value.
func (f *foldCheck) share(bits uint, value uint64) error {
	p := &foldPass{foldCheck: f, mask: 1<<bits - 1, value: value, keys: map[string]*change{}}
	before, more := len(f.findings), f.more
	err := f.log.Each(p.piece)
	if errors.Is(err, errFoldTooLarge) && bits < 32 {
		f.findings, f.more = f.findings[:before], more
		return errors.Join(f.share(bits+1, value), f.share(bits+1, value|1<<bits))
	}
	if err != nil && !errors.Is(err, errFolded) {
		return err
	}
	return p.compare()
}

// foldPass folds a share of the keys.
type foldPass struct {
	*foldCheck
	mask, value uint64
	keys        map[string]*change
	bytes       int

	before []byte        // the key of the -U that was just read; nil: none
	at     quiver.Offset // of that
}

// errFolded ends the reading of a log where the rows end.
var errFolded = errors.New("kv: all changes that were applied are folded")

// piece folds one piece of the log.
func (p *foldPass) piece(piece *Changelog) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	keys, rows, err := p.tablet.encodeLog(piece)
	if err != nil {
		p.add(quiver.OffsetSpan{From: piece.Base, Until: piece.Base + quiver.Offset(piece.Types.Len())}, "the changelog cannot be folded: %s", oneLine(err))
		return errFolded
	}
	shape := p.tablet.current()
	for i, key := range keys {
		at := piece.Base + quiver.Offset(i)
		if at >= p.mark.Applied {
			return errFolded
		}
		if at < p.log.Start {
			continue
		}
		mine := maphash.Bytes(p.seed, key)&p.mask == p.value
		if err := p.pair(quiver.ChangeType(piece.Types.Value(i)), key, at, mine); err != nil {
			return err
		}
		if !mine {
			continue
		}
		r, err := p.tablet.read(shape, rows[i])
		if err != nil {
			p.add(span(at), "the change at offset %d has no row: %s", at, oneLine(err))
			continue
		}
		if err := p.fold(quiver.ChangeType(piece.Types.Value(i)), key, maphash.Bytes(p.seed, r[rowHeader:]), at); err != nil {
			return err
		}
	}
	return nil
}

func span(at quiver.Offset) quiver.OffsetSpan { return quiver.OffsetSpan{From: at, Until: at + 1} }

// pair checks that an update-before stands right before its update-after.
func (p *foldPass) pair(what quiver.ChangeType, key []byte, at quiver.Offset, mine bool) error {
	if p.before != nil && (what != quiver.UpdateAfter || !bytes.Equal(key, p.before)) {
		p.add(span(p.at), "the -U at offset %d is not followed by the +U of its key", p.at)
	}
	p.before = nil
	if what == quiver.UpdateBefore && mine {
		p.before, p.at = bytes.Clone(key), at
	}
	return nil
}

// fold takes one change.
func (p *foldPass) fold(what quiver.ChangeType, key []byte, sum uint64, at quiver.Offset) error {
	c := p.keys[string(key)]
	known := c != nil || p.log.Start == 0
	if c == nil {
		if p.bytes += len(key) + foldCost; p.bytes > p.budget {
			return errFoldTooLarge
		}
		c = &change{}
		p.keys[string(key)] = c
	}
	switch what {
	case quiver.Insert:
		if c.live {
			p.add(span(at), "a +I at offset %d, of the key %s that is there since offset %d", at, p.key(key), c.offset)
		}
	case quiver.UpdateBefore, quiver.Delete, quiver.UpdateAfter:
		switch {
		case known && !c.live:
			p.add(span(at), "a %s at offset %d, of the key %s that is not there", what, at, p.key(key))
		case known && what != quiver.UpdateAfter && c.sum != sum:
			p.add(span(at), "the %s at offset %d, of the key %s, has other values than the change at offset %d left", what, at, p.key(key), c.offset)
		}
	default:
		p.add(span(at), "the change at offset %d has the type %d", at, int8(what))
	}
	if what == quiver.UpdateBefore {
		c.live, c.sum = true, sum // of one that the log does not reach back to
		return nil
	}
	c.offset, c.sum, c.live = at, sum, what != quiver.Delete
	return nil
}

// compare goes over the rows.
func (p *foldPass) compare() error {
	it, err := p.v.store.engine.db.NewIter(&pebble.IterOptions{LowerBound: p.tablet.rows, UpperBound: after(p.tablet.rows)})
	if err != nil {
		p.add(quiver.OffsetSpan{}, "the rows cannot be read: %s", oneLine(err))
		return nil
	}
	shape := p.tablet.current()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%checkEvery == 0 && p.ctx.Err() != nil {
			return errors.Join(p.ctx.Err(), it.Close())
		}
		if maphash.Bytes(p.seed, it.Key())&p.mask != p.value {
			continue
		}
		p.foldCheck.rows++
		stored, err := it.ValueAndErr()
		if err != nil {
			break // the iterator tells
		}
		p.row(shape, it.Key(), stored)
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		p.add(quiver.OffsetSpan{}, "the rows cannot be read: %s", oneLine(err))
		return nil
	}
	p.missing()
	return nil
}

// missing tells of rows that the log has left and that are not there, in the order of the log.
func (p *foldPass) missing() {
	var keys []string
	for key, c := range p.keys {
		if c.live && !c.found {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(p.keys[a].offset, p.keys[b].offset) })
	for _, key := range keys {
		at := p.keys[key].offset
		p.add(span(at), "the row of key %s is missing, that the change at offset %d left", p.key([]byte(key)), at)
	}
}

// row compares one row with what the log says of its key.
func (p *foldPass) row(shape *shape, key []byte, stored row) {
	c := p.keys[string(key)]
	if c != nil {
		c.found = true
	}
	r, err := p.tablet.read(shape, stored)
	if err == nil {
		err = p.schemaOf(stored)
	}
	if err != nil {
		p.add(quiver.OffsetSpan{}, "the row of key %s cannot be read: %s", p.key(key), oneLine(err))
		return
	}
	at := r.offset()
	switch {
	case c == nil && at >= p.log.Start:
		p.add(span(at), "there is a row of key %s at offset %d that no change has made", p.key(key), at)
	case c == nil: // changed last before the log begins
	case !c.live:
		p.add(span(c.offset), "there is a row of key %s, that the change at offset %d deleted", p.key(key), c.offset)
	case at != c.offset:
		p.add(span(c.offset), "the row of key %s is that of offset %d, the last change is at %d", p.key(key), at, c.offset)
	case maphash.Bytes(p.seed, r[rowHeader:]) != c.sum:
		p.add(span(at), "the row of key %s has other values than the change at offset %d", p.key(key), at)
	}
}

// schemaOf checks that the schema of a row is in the database, and not only known from the log.
func (p *foldPass) schemaOf(r row) error {
	there, asked := p.schemas[r.schema()]
	if !asked {
		_, closer, err := p.v.store.engine.db.Get(schemaKey(p.id.Table, r.schema()))
		if err == nil {
			there, err = true, closer.Close()
		}
		if err != nil && !errors.Is(err, pebble.ErrNotFound) {
			return err
		}
		p.schemas[r.schema()] = there
	}
	if !there {
		return fmt.Errorf("it is stored under schema %d, which the database does not have", r.schema())
	}
	return nil
}

// key writes a key for people: its values.
func (p *foldPass) key(key []byte) string {
	rest := key[len(p.tablet.rows):]
	var b strings.Builder
	for i := range p.tablet.current().codec.keys {
		c := &p.tablet.current().codec.keys[i]
		raw, left, err := c.take(rest, nil)
		if err != nil {
			return fmt.Sprintf("%x", key[len(p.tablet.rows):])
		}
		o := newOutput(c.field.Type, 1)
		_ = o.add(raw) // a key column holds no nested value
		a := o.finish()
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.ValueStr(0))
		a.Release()
		rest = left
	}
	return b.String()
}
