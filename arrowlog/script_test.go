package arrowlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
)

// The scripts in testdata/*.txt are commands with recorded answers:
//
//	# a comment
//	command argument key=value
//	the answer, up to an empty line
//
// QUIVER_REWRITE=1 records the answers anew; read the difference before it is committed.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) { runScript(t, path) })
	}
}

func runScript(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(t)
	defer s.end()
	var out strings.Builder
	defer func() {
		if os.Getenv("QUIVER_REWRITE") == "" {
			return
		}
		if err := os.WriteFile(path, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Error(err)
		}
	}()
	for block := range strings.SplitSeq(strings.TrimRight(string(data), "\n"), "\n\n") {
		lines := strings.Split(block, "\n")
		n := 0
		for n < len(lines) && strings.HasPrefix(lines[n], "#") {
			n++
		}
		head := strings.Join(lines[:min(n+1, len(lines))], "\n")
		answer := ""
		if n < len(lines) {
			answer = strings.TrimRight(s.run(lines[n]), "\n")
		}
		got := strings.TrimRight(head+"\n"+answer, "\n")
		if got != strings.TrimRight(block, "\n") && os.Getenv("QUIVER_REWRITE") == "" {
			t.Errorf("%s: recorded\n%s\n\nnow\n%s", path, block, got)
		}
		out.WriteString(got + "\n\n")
	}
}

// script is the world of one script.
type script struct {
	*world
	mem    *fs.Mem
	log    *Log
	pinned *Pin
}

func newScript(t *testing.T) *script {
	mem := fs.NewMem()
	s := &script{world: newWorld(t, mem), mem: mem}
	s.opts.ProjectFrom = 1
	return s
}

func (s *script) end() {
	if s.disk != nil {
		_ = s.disk.Close()
	}
}

// args are the arguments of a command: words, and values by key.
type args struct {
	words []string
	named map[string]string
}

func parseArgs(fields []string) args {
	a := args{named: map[string]string{}}
	for _, f := range fields {
		if k, v, ok := strings.Cut(f, "="); ok {
			a.named[k] = v
		} else {
			a.words = append(a.words, f)
		}
	}
	return a
}

func (a args) int(key string, otherwise int64) int64 {
	v, ok := a.named[key]
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (a args) number(i int) int64 {
	n, err := strconv.ParseInt(a.words[i], 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (s *script) run(line string) string {
	fields := strings.Fields(line)
	command := commands[fields[0]]
	if command == nil {
		return "no such command"
	}
	answer, err := command(s, parseArgs(fields[1:]))
	if err != nil {
		return answer + "error: " + short(err)
	}
	return answer
}

// short shows an error with its outcome.
func short(err error) string {
	var e *quiver.Error
	if errors.As(err, &e) {
		return fmt.Sprintf("%s (%s)", err, e.Outcome)
	}
	return err.Error()
}

var commands map[string]func(s *script, a args) (string, error)

func init() {
	commands = map[string]func(s *script, a args) (string, error){
		"config": (*script).configure, "open": (*script).reopen, "lead": (*script).takeLead, "close": (*script).shut,
		"crash": (*script).crash, "stage": (*script).stage, "sync": (*script).syncTo, "put": (*script).putNow,
		"seen": (*script).seen, "high": (*script).setHigh, "read": (*script).read, "writers": (*script).writersNow,
		"epochs": (*script).epochs, "log": (*script).describe, "files": (*script).listFiles, "roll": (*script).roll,
		"maintain": (*script).maintain, "advance": (*script).advance, "flip": (*script).flip, "zero": (*script).zero,
		"truncate": (*script).truncate, "remove": (*script).remove, "delete-before": (*script).deleteBefore,
		"offset-at": (*script).offsetAt, "retention": (*script).retention, "expire": (*script).expire,
		"pin": (*script).pin, "unpin": (*script).unpin, "glance": (*script).glance, "open-disk": (*script).openDisk, "schema": (*script).newSchema,
		"segment": (*script).segment,
	}
}

func (s *script) configure(a args) (string, error) {
	s.config.SegmentBytes = a.int("segment-bytes", s.config.SegmentBytes)
	s.config.SegmentAge = time.Duration(a.int("segment-age", int64(s.config.SegmentAge/time.Second))) * time.Second
	s.config.WriterExpiry = time.Duration(a.int("expiry", int64(s.config.WriterExpiry/time.Second))) * time.Second
	s.opts.MergeBelow = int(a.int("merge-below", int64(s.opts.MergeBelow)))
	return "", nil
}

func (s *script) reopen(args) (string, error) {
	l, err := s.tryOpen()
	if err != nil {
		return "", err
	}
	s.log = l
	return s.describe(args{})
}

func (s *script) takeLead(a args) (string, error) {
	s.epoch = quiver.Epoch(a.int("epoch", int64(s.epoch+1)))
	return "", s.log.Lead(s.epoch)
}

func (s *script) shut(args) (string, error) { return "", s.disk.Close() }

// crash loses what was not synced, or kills the process only.
func (s *script) crash(a args) (string, error) {
	old := s.disk
	if a.words[0] == "kill" {
		s.mem = s.mem.Clone()
	} else {
		s.mem = s.mem.CrashClone(fs.CrashConfig{})
	}
	s.fsys = s.mem
	return "", old.Close()
}

// unit makes the batches and the origin that the arguments tell of: stage 1 2 3 | 4 5 writer=1 seq=0 prev=-1.
func (s *script) unit(a args) ([]*record.Batch, Origin) {
	var batches []*record.Batch
	var piece []int64
	rows := 0
	flush := func() {
		if len(piece) > 0 {
			batches = append(batches, s.batch(piece...))
			rows += len(piece)
			piece = nil
		}
	}
	for i, w := range a.words {
		switch first, last, isRange := strings.Cut(w, ".."); {
		case w == "|":
			flush()
		case isRange:
			lo, _ := strconv.ParseInt(first, 10, 64)
			hi, _ := strconv.ParseInt(last, 10, 64)
			piece = append(piece, count(lo, int(hi-lo))...)
		default:
			piece = append(piece, a.number(i))
		}
	}
	flush()
	o := anonymous(rows)
	if _, ok := a.named["writer"]; ok {
		o.Writer = quiver.WriterID(a.int("writer", 0))
		o.WriterEpoch = quiver.Epoch(a.int("epoch", 0))
		o.Sequence = quiver.Sequence(a.int("seq", 0))
		o.Previous = quiver.Sequence(a.int("prev", int64(o.Sequence)-1))
		o.PreviousAcked = a.int("acked", 0) == 1
	}
	o.ExpectOffset = quiver.Offset(a.int("expect", -1))
	return batches, o
}

func (st Staged) String() string {
	switch {
	case st.Duplicate && !st.Known:
		return "repeat of something forgotten"
	case st.Duplicate:
		return fmt.Sprintf("repeat of [%d, %d)", st.From, st.Until)
	}
	return fmt.Sprintf("[%d, %d)", st.From, st.Until)
}

func (s *script) stage(a args) (string, error) {
	batches, o := s.unit(a)
	st, err := s.log.Stage(batches, o)
	if err != nil {
		return "", err
	}
	return st.String(), nil
}

func (s *script) syncTo(a args) (string, error) {
	until := s.log.End()
	if len(a.words) > 0 {
		until = quiver.Offset(a.number(0))
	}
	if err := s.log.Sync(context.Background(), until); err != nil {
		return "", err
	}
	return fmt.Sprintf("durable %d", s.log.Durable()), nil
}

// putNow stages, syncs and shows.
func (s *script) putNow(a args) (string, error) {
	out, err := s.stage(a)
	if err != nil {
		return out, err
	}
	if err := s.log.Sync(context.Background(), s.log.End()); err != nil {
		return "", err
	}
	s.log.SetHighWatermark(s.log.Durable())
	return out, nil
}

func (s *script) seen(a args) (string, error) {
	_, o := s.unit(args{named: a.named})
	o.Rows = a.int("rows", 1)
	st, repeat, err := s.log.Seen(o)
	if err != nil {
		return "", err
	}
	if !repeat {
		return "new", nil
	}
	return st.String(), nil
}

func (s *script) setHigh(a args) (string, error) {
	s.log.SetHighWatermark(quiver.Offset(a.number(0)))
	return fmt.Sprintf("high %d", s.log.HighWatermark()), nil
}

// read shows the numbers of [from, until), by default all that is durable.
func (s *script) read(a args) (string, error) {
	from, until := quiver.Offset(a.int("from", int64(s.log.Start()))), quiver.Offset(a.int("until", int64(s.log.Durable())))
	var cols []int
	if _, ok := a.named["cols"]; ok {
		cols = []int{0}
	}
	rows, lost, err := readable(s.log, from, until, cols)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for at := from; at < until; at++ {
		if i := slices.IndexFunc(lost, func(r OffsetRange) bool { return r.From <= at && at < r.Until }); i >= 0 {
			fmt.Fprintf(&out, "lost [%d, %d)\n", lost[i].From, lost[i].Until)
			at = lost[i].Until - 1
			continue
		}
		n, ok := rows[at]
		if !ok {
			return out.String(), fmt.Errorf("nothing at offset %d", at)
		}
		fmt.Fprintf(&out, "%d ", n)
	}
	return strings.TrimSpace(out.String()), nil
}

func (s *script) writersNow(args) (string, error) {
	var out strings.Builder
	for _, w := range s.log.Writers() {
		fmt.Fprintf(&out, "writer %d epoch %d sequence %d\n", w.ID, w.Epoch, w.Sequence)
	}
	return out.String(), nil
}

func (s *script) epochs(args) (string, error) {
	var out strings.Builder
	for _, e := range s.log.Epochs() {
		fmt.Fprintf(&out, "epoch %d from %d\n", e.Epoch, e.Start)
	}
	return out.String(), nil
}

func (s *script) describe(args) (string, error) {
	l := s.log
	return fmt.Sprintf("start %d high %d durable %d end %d", l.Start(), l.HighWatermark(), l.Durable(), l.End()), nil
}

func (s *script) listFiles(args) (string, error) {
	names, err := s.mem.List(s.log.dir)
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	var out strings.Builder
	for _, n := range names {
		info, err := s.mem.Stat(s.log.dir + "/" + n)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s %d\n", strings.TrimLeft(n[:19], "0")+n[19:], info.Size())
	}
	return out.String(), nil
}

func (s *script) roll(args) (string, error)     { s.log.Roll(); return "", nil }
func (s *script) maintain(args) (string, error) { return "", s.disk.Maintain(s.clock.Now()) }
func (s *script) advance(a args) (string, error) {
	s.clock.advance(time.Duration(a.number(0)) * time.Second)
	return "", nil
}

// path gives the file of a segment by base and kind: "0.arrows", or the checkpoint.
func (s *script) path(name string) string {
	if name == checkpointName {
		return s.disk.dir + "/" + name
	}
	base, suffix, _ := strings.Cut(name, ".")
	n, _ := strconv.ParseInt(base, 10, 64)
	return s.log.dir + "/" + segmentName(quiver.Offset(n), "."+suffix)
}

// place gives a place in a segment: row=N is in the body of the batch that holds the row, head=N in its metadata,
// prefix=N its first byte, at=N a byte of the file.
func (s *script) place(path string, a args) int64 {
	if _, ok := a.named["at"]; ok {
		return a.int("at", 0)
	}
	for key, from := range map[string]func(e entry) int64{
		"prefix": func(e entry) int64 { return e.pos },
		"head":   func(e entry) int64 { return e.pos + 200 },
		"row":    func(e entry) int64 { return e.pos + int64(e.meta) },
	} {
		if _, ok := a.named[key]; ok {
			row := quiver.Offset(a.int(key, 0))
			for _, seg := range s.log.segments {
				if seg.path(segmentSuffix) != path {
					continue
				}
				head, _ := seg.loadHead()
				x, err := seg.rebuildIndex(head)
				if err != nil {
					panic(err)
				}
				return from(x.entries[find(x.entries, row)])
			}
		}
	}
	s.t.Errorf("%s has no such place", path)
	return 0
}

func (s *script) flip(a args) (string, error) {
	path := s.path(a.words[0])
	flip(s.t, s.mem, path, s.place(path, a), 3)
	return "", nil
}

// zero overwrites bytes with zeros.
func (s *script) zero(a args) (string, error) {
	path := s.path(a.words[0])
	f, err := s.mem.OpenReadWrite(path, fs.Unspecified)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, a.int("n", 8)), s.place(path, a)); err != nil {
		return "", err
	}
	return "", f.Sync()
}

func (s *script) truncate(a args) (string, error) {
	path := s.path(a.words[0])
	return "", s.mem.Truncate(path, s.place(path, a))
}

func (s *script) remove(a args) (string, error) { return "", s.mem.Remove(s.path(a.words[0])) }

func (s *script) deleteBefore(a args) (string, error) {
	if err := s.log.DeleteBefore(quiver.Offset(a.number(0))); err != nil {
		return "", err
	}
	return fmt.Sprintf("start %d", s.log.Start()), nil
}

func (s *script) offsetAt(a args) (string, error) {
	o, err := s.log.OffsetAt(newClock().now.UnixMilli() + a.number(0)*1000)
	return fmt.Sprint(o), err
}

func (s *script) rule(a args) Retention {
	rule := Retention{Bytes: a.int("bytes", 0)}
	if v := a.int("older", 0); v > 0 {
		rule.OlderThan = newClock().now.UnixMilli() + v*1000
	}
	return rule
}

func (s *script) retention(a args) (string, error) {
	o, err := s.log.RetentionPoint(s.rule(a), s.clock.Now())
	return fmt.Sprint(o), err
}

// expire carries out retention, on the log as it is: open or not.
func (s *script) expire(a args) (string, error) {
	e := s.disk.Expire([]Expiry{{Bucket: bucket, Config: s.config, Rule: s.rule(a)}}, s.clock.Now())[0]
	if e.Err != nil {
		return "", e.Err
	}
	return fmt.Sprintf("%d rows, oldest %s", e.Rows, ago(e.Oldest)), nil
}

// ago writes a time as the scripts do, in seconds since they began.
func ago(t int64) string {
	if t == 0 {
		return "none"
	}
	return fmt.Sprintf("+%ds", (t-newClock().now.UnixMilli())/1000)
}

func (s *script) pin(a args) (string, error) {
	until := time.Time{}
	if v := a.int("for", 0); v > 0 {
		until = s.clock.Now().Add(time.Duration(v) * time.Second)
	}
	s.pinned = s.log.Pin(quiver.Offset(a.number(0)), until)
	return "", nil
}

func (s *script) unpin(args) (string, error) {
	s.pinned.Release()
	return "", nil
}

func (s *script) glance(args) (string, error) {
	g, err := s.disk.Glance(bucket)
	if err != nil {
		return "", err
	}
	buckets, err := s.disk.Buckets(bucket.Table, bucket.Partition)
	return fmt.Sprintf("rows %v, oldest %s, %d bytes; buckets %v", g.Rows, ago(g.Oldest), g.Bytes, buckets), err
}

func (s *script) newSchema(a args) (string, error) {
	s.config.Schema = testSchema(s.t, quiver.SchemaID(a.number(0)))
	layout, err := record.NewLayout(s.config.Schema)
	if err != nil {
		return "", err
	}
	s.layout = layout
	_, err = s.disk.Log(bucket, s.config)
	return "", err
}

// segment shows the batches of a segment file as a walk finds them.
func (s *script) segment(a args) (string, error) {
	path := s.path(a.words[0])
	for _, seg := range s.log.segments {
		if seg.path(segmentSuffix) != path {
			continue
		}
		head, err := seg.loadHead()
		if err != nil {
			return "", err
		}
		f, err := s.mem.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return "", err
		}
		var out strings.Builder
		w := newWalker(f, info.Size(), head)
		defer w.free()
		w.verifyBeyond(-1)
		w.visit = func(b *met) error {
			flags, producers := "", ""
			if b.meta.Flags&record.Continued != 0 {
				flags += " continued"
			}
			if !b.sound {
				flags += " damaged"
			}
			ps, err := b.meta.Producers()
			if err != nil {
				return err
			}
			for _, p := range ps {
				if p.Writer == quiver.NoWriter {
					producers += fmt.Sprintf(" %d", p.Rows)
				} else {
					producers += fmt.Sprintf(" %d/%d/%d:%d", p.Writer, p.Epoch, p.Sequence, p.Rows)
				}
			}
			fmt.Fprintf(&out, "[%d, %d) epoch %d schema %d high %d +%ds%s, rows of%s\n", b.base, b.until(), b.meta.Epoch, b.meta.Schema,
				b.meta.HighWatermark, (b.time-newClock().now.UnixMilli())/1000, flags, producers)
			return nil
		}
		_, err = w.walk(head.size, seg.base, nil)
		return out.String(), err
	}
	return "", errors.New("no such segment")
}

// openDisk opens the disk, and no log.
func (s *script) openDisk(args) (string, error) {
	d, err := OpenDisk(s.fsys, "data", s.opts)
	if err != nil {
		return "", err
	}
	s.disk, s.log = d, nil
	return "", nil
}
