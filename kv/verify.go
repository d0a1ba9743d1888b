package kv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/internal/recordfile"
)

// Verifier checks the rows of a data directory that no server has open, and their newest checkpoint. It changes nothing,
// and what a crash may leave is sound for it: rows that are older than the log, and none at all, as long as the log or
// the checkpoint still tells them.
type Verifier struct {
	fsys     fs.FS
	database string    // the directory of the store, or of the checkpoint
	store    *Store    // nil: there are no rows, or they cannot be read
	damaged  bool      // that was told
	saved    *Verifier // the newest checkpoint; nil: there is none, or this is one
	sealed   bool      // this is a checkpoint
}

// What findings say of their consequences.
const (
	effectRebuilt = "the server moves the rows aside and makes them again from the logs, as far as these go back"
	effectRestore = "the server moves the rows aside and restores their checkpoint"
	effectSaved   = "should the rows be lost, they are not restored from it; until the server has made another one, retention keeps the logs"
	// A start believes rows that can be read.
	effectFold     = "readers see other rows than the changelog tells; with the directories kv and kv-checkpoint moved away, the next start makes them again from the log"
	effectFoldMend = "readers see other rows than the changelog tells; with the directory kv moved away, the next start takes them from the checkpoint and the log"
	effectFoldLost = "readers see other rows than the changelog tells, which retention has shortened; restore a copy of the data directory"
	effectFoldCopy = "should the rows be lost, readers would see what stands in the checkpoint"
	effectUseless  = "should the rows of the bucket be lost, they cannot be made again"
)

// NewVerifier opens the rows in a directory, and the newest checkpoint in another one, to read only. What is wrong with
// one as a whole is among the findings.
func NewVerifier(fsys fs.FS, dir, checkpoints string) (v *Verifier, findings []quiver.Finding, notes []quiver.Note) {
	v = &Verifier{fsys: fsys, database: fsys.PathJoin(dir, databaseDir)}
	notes = append(aside(fsys, dir), aside(fsys, checkpoints)...)
	d := &Dir{fsys: fsys, dir: dir, options: Options{Checkpoints: checkpoints}}
	n, _, err := d.newest()
	if err != nil {
		findings = append(findings, quiver.Finding{Kind: quiver.FindingUnread, File: checkpoints, Problem: oneLine(err), Effect: "nothing is known of the checkpoints"})
	}
	if n > 0 {
		v.saved = &Verifier{fsys: fsys, database: d.checkpointDir(n), sealed: true}
		findings = append(findings, v.saved.openSealed(n)...)
	}
	found, told := v.open()
	findings, notes = append(findings, found...), append(notes, told...)
	switch {
	case v.store == nil && !v.damaged && v.savedReadable():
		notes = append(notes, quiver.Note{Kind: quiver.FindingRows, File: v.database, Problem: "there are no rows", Effect: "the next start restores their checkpoint"})
	case v.store != nil && v.store.stamp < n && !v.saved.damaged:
		v.damaged = true
		findings = append(findings, quiver.Finding{Kind: quiver.FindingRows, File: v.database,
			Problem: fmt.Sprintf("the database has come to checkpoint %d, and there is checkpoint %d: it lost changes, or is an old copy", v.store.stamp, n), Effect: effectRestore})
	}
	return v, findings, notes
}

// savedReadable says that there is a checkpoint with which nothing was found wrong so far.
func (v *Verifier) savedReadable() bool { return v.saved != nil && v.saved.Readable() }

// effect is what becomes of a database in which there is damage.
func (v *Verifier) effect() string {
	switch {
	case v.sealed:
		return effectSaved
	case v.savedReadable():
		return effectRestore
	}
	return effectRebuilt
}

// open opens the database, if there is one.
func (v *Verifier) open() (findings []quiver.Finding, notes []quiver.Note) {
	if _, err := v.fsys.Stat(v.database); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	store, err := openReadOnly(v.fsys, v.database)
	if errors.Is(err, pebble.ErrDBDoesNotExist) {
		return nil, nil // a crash came while it was made
	}
	if err == nil {
		v.store = store
		store.stamp, err = store.engine.readStamp()
	}
	if err != nil {
		v.damaged = true
		return []quiver.Finding{{Kind: quiver.FindingRows, File: v.database,
			Problem: "the database cannot be opened: " + oneLine(err), Effect: v.effect()}}, nil
	}
	return nil, v.tails()
}

// tails tells of what stands behind the records that Pebble goes by.
func (v *Verifier) tails() (notes []quiver.Note) {
	paths, err := recordfile.Files(v.fsys, v.database)
	if err != nil {
		return nil // it was opened a moment ago
	}
	for _, path := range paths {
		if tail, err := recordfile.Check(v.fsys, path); err == nil && tail.From < tail.Until {
			notes = append(notes, quiver.Note{Kind: quiver.FindingRows, File: path, Bytes: quiver.ByteRange{From: tail.From, Until: tail.Until},
				Problem: "what stands here is no whole record: a crash came while it was written, or it is damaged",
				Effect:  "a start goes by what stands before it, and folds the logs from there"})
		}
	}
	return notes
}

// openSealed opens a checkpoint, if its files are those of its seal.
func (v *Verifier) openSealed(n serial) []quiver.Finding {
	if found := v.seal(n); len(found) > 0 {
		v.damaged = true
		return found
	}
	findings, _ := v.open() // its manifest has a checksum in the seal
	switch {
	case v.damaged:
	case v.store == nil:
		v.damaged = true
		findings = append(findings, quiver.Finding{Kind: quiver.FindingRows, File: v.database, Problem: "there is no database in the checkpoint", Effect: effectSaved})
	case v.store.stamp != n:
		v.damaged = true
		findings = append(findings, quiver.Finding{Kind: quiver.FindingRows, File: v.database,
			Problem: fmt.Sprintf("the database in the checkpoint says that it is number %d", v.store.stamp), Effect: effectSaved})
	}
	return findings
}

// seal compares the files of a checkpoint with its seal, each of them.
func (v *Verifier) seal(n serial) (findings []quiver.Finding) {
	add := func(name string, size int64, problem string) {
		findings = append(findings, quiver.Finding{Kind: quiver.FindingRows, File: v.fsys.PathJoin(v.database, name), Bytes: quiver.ByteRange{Until: size},
			Problem: problem, Effect: effectSaved})
	}
	data, err := fs.ReadFile(v.fsys, v.fsys.PathJoin(v.database, sealFile))
	if err != nil {
		add(sealFile, 0, "the seal of the checkpoint cannot be read: "+oneLine(err))
		return findings
	}
	s, err := parseSeal(data)
	if err == nil && s.number != n {
		err = fmt.Errorf("%w: it is number %d, not %d", errSeal, s.number, n)
	}
	if err != nil {
		add(sealFile, int64(len(data)), oneLine(err))
		return findings
	}
	for i := range s.files {
		want := &s.files[i]
		found := sealedFile{name: want.name}
		switch err := found.look(v.fsys, v.database); {
		case err != nil:
			add(want.name, 0, "a file of the checkpoint cannot be read: "+oneLine(err))
		case found.size != want.size:
			add(want.name, found.size, fmt.Sprintf("the file was sealed with %d bytes and has %d", want.size, found.size))
		case found != *want:
			add(want.name, found.size, "the file has another checksum than it was sealed with")
		}
	}
	return findings
}

// aside tells of databases that a start moved away.
func aside(fsys fs.FS, dir string) (notes []quiver.Note) {
	names, _ := fsys.List(dir) // it may not be there
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, asidePrefix) {
			notes = append(notes, quiver.Note{Kind: quiver.FindingRows, File: fsys.PathJoin(dir, name),
				Problem: "an earlier start found damage in this database and moved it aside",
				Effect:  "rows that nothing else has are taken from it; remove it once every table was read and none was missing"})
		}
	}
	return notes
}

// openReadOnly opens a database as it is.
func openReadOnly(fsys fs.FS, database string) (*Store, error) {
	o := Options{Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	e := &engine{fence: fs.NewFence(fsys), logger: o.Logger, change: o.ChangeBytes, cache: pebble.NewCache(o.CacheBytes)}
	p := e.options(nil, o)
	p.FS, p.ReadOnly = unlocked{fsys}, true
	db, err := pebble.Open(database, p)
	if err == nil {
		e.db = db
		err = e.failure()
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return &Store{engine: e, schemas: map[storedSchema]*quiver.Schema{}, readOnly: true}, nil
}

// Close gives back what is open.
func (v *Verifier) Close() error {
	if v == nil {
		return nil
	}
	var err error
	if v.store != nil {
		err = v.store.Close()
	}
	if v.damaged {
		err = nil // the store reports once more what was found
	}
	return errors.Join(err, v.saved.Close())
}

// Bytes adds up the files of the database and of the checkpoint.
func (v *Verifier) Bytes() (n int64) {
	if v == nil {
		return 0
	}
	n = v.saved.Bytes()
	for _, name := range v.tables() {
		if info, err := v.fsys.Stat(name); err == nil {
			n += info.Size()
		}
	}
	return n
}

// tables lists the files that the database is made of at the moment.
func (v *Verifier) tables() []string {
	if v.store == nil {
		return nil
	}
	levels, err := v.store.engine.db.SSTables()
	if err != nil {
		return nil // only for options that are not used
	}
	var names []string
	for _, level := range levels {
		for i := range level {
			names = append(names, v.fsys.PathJoin(v.database, fmt.Sprintf("%06d.sst", uint64(level[i].BackingSSTNum))))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Files checks every block of every file of the database and of the checkpoint, and the order of what is in them.
func (v *Verifier) Files(ctx context.Context, progress func(bytes int64)) (findings []quiver.Finding, err error) {
	if v.saved != nil {
		if findings, err = v.saved.Files(ctx, progress); err != nil {
			return nil, err
		}
	}
	for _, name := range v.tables() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		size, err := v.file(ctx, name)
		if err != nil {
			v.damaged = true
			findings = append(findings, quiver.Finding{Kind: quiver.FindingRows, File: name, Bytes: quiver.ByteRange{Until: size}, Problem: oneLine(err), Effect: v.effect()})
		}
		progress(size)
	}
	if v.store == nil || v.damaged {
		return findings, nil
	}
	if err := v.store.engine.db.CheckLevels(nil); err != nil {
		v.damaged = true
		findings = append(findings, quiver.Finding{Kind: quiver.FindingRows, File: v.database,
			Problem: "the levels of the database do not fit each other: " + oneLine(err), Effect: v.effect()})
	}
	return findings, nil
}

// file checks every block of one file.
func (v *Verifier) file(ctx context.Context, name string) (size int64, err error) {
	f, err := v.fsys.Open(name)
	if err != nil {
		return 0, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return 0, errors.Join(err, f.Close())
	}
	size = readable.Size()
	r, err := sstable.NewReader(ctx, readable, v.store.engine.readers())
	if err != nil {
		return size, errors.Join(err, readable.Close())
	}
	return size, errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// readers are the options of a reader of one of the database's files.
func (e *engine) readers() sstable.ReaderOptions {
	o := e.options(nil, Options{}.withDefaults())
	o.EnsureDefaults()
	return o.MakeReaderOptions()
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// Readable says that there are rows and that nothing was found wrong with them so far.
func (v *Verifier) Readable() bool { return v.store != nil && !v.damaged }

// Buckets lists the buckets that have rows or a mark.
func (v *Verifier) Buckets() ([]quiver.BucketID, error) {
	if !v.Readable() {
		return nil, nil
	}
	it, err := v.store.engine.db.NewIter(&pebble.IterOptions{LowerBound: []byte{familyBucket}, UpperBound: []byte{familyBucket + 1}})
	if err != nil {
		return nil, v.store.readError(err)
	}
	var ids []quiver.BucketID
	for ok := it.First(); ok; {
		key := it.Key()
		if len(key) < bucketPrefix {
			return ids, errors.Join(errRow, it.Close())
		}
		ids = append(ids, quiver.BucketID{
			Table: quiver.TableID(binary.BigEndian.Uint64(key[1:])), Partition: quiver.PartitionID(binary.BigEndian.Uint64(key[9:])),
			Bucket: int32(binary.BigEndian.Uint32(key[17:])),
		})
		ok = it.SeekGE(after(bytes.Clone(key[:bucketPrefix])))
	}
	return ids, v.store.readError(errors.Join(it.Error(), it.Close()))
}
