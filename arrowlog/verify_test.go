package arrowlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/fs"
)

// verify checks all logs of a directory, through a file system that refuses every change.
func verify(fsys fs.FS) ([]quiver.Finding, []*LogReport, error) {
	v, err := NewVerifier(fs.ReadOnly(fsys), "data")
	if err != nil {
		return nil, nil, err
	}
	ids, err := v.Buckets()
	if err != nil {
		return nil, nil, err
	}
	findings := v.Findings()
	var reports []*LogReport
	for _, id := range ids {
		r, err := v.Verify(context.Background(), id, VerifyConfig{})
		if err != nil {
			return nil, nil, err
		}
		if r.Whole() {
			rows := int64(0)
			err := v.Scan(context.Background(), r, r.Start, func(b *record.Batch) error {
				h := b.Header()
				rows += int64(h.Until() - max(h.BaseOffset, r.Start))
				return nil
			})
			if want := int64(r.End - r.Start); err != nil || rows != want {
				return nil, nil, fmt.Errorf("a scan of bucket %s gave %d rows, want %d: %w", id, rows, want, err)
			}
		}
		findings, reports = append(findings, r.Findings...), append(reports, r)
	}
	return findings, reports, v.Close()
}

// sound is nil if the check of a directory finds nothing.
func sound(fsys fs.FS) error {
	findings, _, err := verify(fsys)
	if err != nil {
		return err
	}
	for _, f := range findings {
		err = errors.Join(err, fmt.Errorf("found in a sound directory: %s", f))
	}
	return err
}

// damageCase is a directory with damage of one kind, and what the check is to find.
type damageCase struct {
	name  string
	plant func(p *plant)
	want  []string // the findings, without what stands in front of the file name
}

// plant is a sound directory of three segments that is being damaged.
type plant struct {
	t   *testing.T
	mem *fs.Mem
	dir string
}

func (p *plant) path(name string) string { return p.dir + "/" + name }

func (p *plant) flip(name string, at int64) { flip(p.t, p.mem, p.path(name), at, 0) }

func (p *plant) remove(name string) {
	p.t.Helper()
	if err := p.mem.Remove(p.path(name)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) write(path string, data []byte) {
	p.t.Helper()
	if err := fs.WriteFile(p.mem, path, data); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) read(path string) []byte {
	p.t.Helper()
	data, err := fs.ReadFile(p.mem, path)
	if err != nil {
		p.t.Fatal(err)
	}
	return data
}

// batches finds where the batches of a segment stand.
func (p *plant) batches(base quiver.Offset) (entries []walkedEntry, size int64) {
	p.t.Helper()
	v, err := NewVerifier(p.mem, "data")
	if err != nil {
		p.t.Fatal(err)
	}
	defer v.Close()
	s := newSegment(newLog(v.disk, bucket), base)
	head, err := s.loadHead()
	if err != nil {
		p.t.Fatal(err)
	}
	k := &logCheck{ctx: p.t.Context(), v: v, log: s.log, report: &LogReport{}}
	w := &segmentWalk{check: k, seg: s, head: head, last: true}
	if err := w.run(); err != nil {
		p.t.Fatal(err)
	}
	return w.entries, w.size
}

const (
	first  = "00000000000000000000"
	second = "00000000000000000004"
	third  = "00000000000000000008"
)

// newPlant makes a directory whose log has the batches [0,2) [2,4) in the first segment, [4,6) [6,8) in the second and
// [8,10) [10,12) in the third, all by writer 3, with indexes for the first two.
func newPlant(t *testing.T) *plant {
	p := &plant{t: t, mem: fs.NewMem(), dir: "data/log/7/0/1"}
	w := newWorld(t, p.mem)
	l := w.lead()
	for i := range 6 {
		if i > 0 && i%2 == 0 {
			l.Roll()
		}
		ns := count(int64(2*i), 2)
		s, err := l.Stage([]*record.Batch{w.batch(ns...)}, from(3, quiver.Sequence(i), 2))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(t.Context(), s.Until); err != nil {
			t.Fatal(err)
		}
		l.SetHighWatermark(s.Until)
		w.clock.advance(time.Second)
	}
	if err := w.disk.Maintain(w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	w.close()
	return p
}

// TestPlantedDamage plants each kind of damage and expects to be told of exactly that.
func TestPlantedDamage(t *testing.T) {
	if err := sound(newPlant(t).mem); err != nil {
		t.Fatal(err)
	}
	for _, c := range []damageCase{
		{"body", func(p *plant) {
			e, _ := p.batches(0)
			p.flip(first+".arrows", e[1].pos+int64(e[1].meta))
		}, []string{"segment " + first + ".arrows, bytes [1216, 1984), bucket 7/0/1, offsets [2, 4): batch at offset 2, column n: checksum"}},
		{"header", func(p *plant) {
			e, _ := p.batches(4)
			p.flip(second+".arrows", e[0].pos+200)
		}, []string{"segment " + second + ".arrows, bytes [512, 1216), bucket 7/0/1, offsets [4, 6): batch header at offset 4: checksum"}},
		{"a batch overwritten by zeros", func(p *plant) {
			e, _ := p.batches(0)
			data := p.read(p.path(first + ".arrows"))
			clear(data[e[0].pos:e[0].end()])
			p.write(p.path(first+".arrows"), data)
		}, []string{"segment " + first + ".arrows, bytes [512, 1216), bucket 7/0/1, offsets [0, 2): no batch begins where one should"}},
		{"a batch that stands twice", func(p *plant) { // a lost write: the second batch is still the first one
			e, _ := p.batches(4)
			data := p.read(p.path(second + ".arrows"))
			copy(data[e[1].pos:], data[e[0].pos:e[0].end()])
			p.write(p.path(second+".arrows"), data)
		}, []string{"segment " + second + ".arrows, bytes [1216, 1920), bucket 7/0/1, offsets [6, 8): the batch of offset 4 stands where that of offset 6 should"}},
		{"the end of a closed segment cut off", func(p *plant) {
			e, _ := p.batches(0)
			if err := p.mem.Truncate(p.path(first+".arrows"), e[1].pos); err != nil {
				t.Fatal(err)
			}
		}, []string{"segment " + first + ".arrows, bucket 7/0/1, offsets [2, 4): the segment ends at offset 2, the next one begins at 4",
			"index " + first + ".index, bytes [0, "}},
		{"the end of the last segment cut off", func(p *plant) {
			e, _ := p.batches(8)
			if err := p.mem.Truncate(p.path(third+".arrows"), e[1].pos+64); err != nil {
				t.Fatal(err)
			}
		}, []string{"segment " + third + ".arrows, bytes [1280, 1344), bucket 7/0/1, offsets [10, 12): the file ends within the header of a batch"}},
		{"the last batch zeroed", func(p *plant) {
			e, size := p.batches(8)
			data := p.read(p.path(third + ".arrows"))
			clear(data[e[1].pos:size])
			p.write(p.path(third+".arrows"), data)
		}, []string{"segment " + third + ".arrows, bucket 7/0/1, offsets [10, 12): the segment ends at offset 10, the log was durable up to 12"}},
		{"the head of a segment", func(p *plant) { p.flip(second+".arrows", 100) },
			[]string{"segment " + second + ".arrows, bytes [0, 512), bucket 7/0/1: the head of the segment is damaged: "}},
		{"the head of a segment and its copy", func(p *plant) {
			p.flip(second+".arrows", 100)
			p.flip(second+".state", 200)
		}, []string{"segment " + second + ".arrows, bytes [0, 64), bucket 7/0/1, offsets [4, 8): the head of the segment is damaged: ",
			"state " + second + ".state, bucket 7/0/1: damaged: its checksum does not match"}},
		{"a segment gone", func(p *plant) { p.remove(second + ".arrows") },
			[]string{"segment " + first + ".arrows, bucket 7/0/1, offsets [4, 8): the segment ends at offset 4, the next one begins at 8"}},
		{"the first segment gone", func(p *plant) { p.remove(first + ".arrows") },
			[]string{"segment 1, bucket 7/0/1, offsets [0, 4): the first segments of the log are missing"}},
		{"all segments gone", func(p *plant) {
			for _, base := range []string{first, second, third} {
				p.remove(base + ".arrows")
			}
		}, []string{"segment 1, bucket 7/0/1, offsets [0, 12): the log has no segment any more"}},
		{"a state file", func(p *plant) { p.flip(second+".state", 30) },
			[]string{"state " + second + ".state, bucket 7/0/1: damaged: its checksum does not match"}},
		{"a state file gone", func(p *plant) { p.remove(third + ".state") },
			[]string{"state " + third + ".state, bucket 7/0/1: the state file of a segment is missing"}},
		{"writers that the log does not have", func(p *plant) {
			p.state(2, func(f *fold) { f.writers.byID[9] = &writer{recent: takenList{{1, 0, 2}}, last: 1, time: f.time} })
		}, []string{"state " + third + ".state, bucket 7/0/1: it tells of writer 9, who has put nothing"}},
		{"a writer forgotten", func(p *plant) { p.state(2, func(f *fold) { delete(f.writers.byID, 3) }) },
			[]string{"state " + third + ".state, bucket 7/0/1: it does not tell of writer 3, who has put sequence 3"}},
		{"a sequence forgotten", func(p *plant) {
			p.state(2, func(f *fold) {
				w := f.writers.byID[3]
				w.recent = w.recent[:len(w.recent)-1]
				w.last = w.recent[len(w.recent)-1].sequence
			})
		}, []string{"state " + third + ".state, bucket 7/0/1: it says that the last sequence of writer 3 is 2, the log has 3"}},
		{"epochs", func(p *plant) { p.state(1, func(f *fold) { f.epochs[0].Start = 1 }) },
			[]string{"state " + second + ".state, bucket 7/0/1: it tells of the epochs [{1 1}], the log has [{1 0}]",
				"state " + third + ".state, bucket 7/0/1: it tells of the epochs [{1 0}], the log has [{1 1}]"}},
		{"the chain", func(p *plant) { p.state(1, func(f *fold) { f.chain ^= 1 }) },
			[]string{"state " + second + ".state, bucket 7/0/1: it says that the last header checksum before the segment is ",
				"segment " + second + ".arrows, bytes [512, 1216), bucket 7/0/1, offsets [4, 6): the batch names "}},
		{"the time", func(p *plant) { p.state(1, func(f *fold) { f.time -= 1000 }) },
			[]string{"state " + second + ".state, bucket 7/0/1: it says that the last batch before the segment is of 2023-11-14T22:13:20.000Z, it is of 2023-11-14T22:13:21.000Z"}},
		{"an index", func(p *plant) { p.flip(first+".index", 30) },
			[]string{"index " + first + ".index, bytes [0, 51), bucket 7/0/1: damaged: its checksum does not match"}},
		{"an index's copy of a header", func(p *plant) { p.flip(second+".index", 300) },
			[]string{"index " + second + ".index, bytes [51, 563), bucket 7/0/1: its copy of the batch at offset 4: "}},
		{"one copy of the checkpoint", func(p *plant) { flip(t, p.mem, "data/log/checkpoint", 18, 0) },
			[]string{"checkpoint checkpoint, bytes [0, 27): copy 1 of the checkpoint: damaged: its checksum does not match"}},
		{"both copies of the checkpoint", func(p *plant) {
			flip(t, p.mem, "data/log/checkpoint", 18, 0)
			flip(t, p.mem, "data/log/checkpoint", 50, 0)
		}, []string{"checkpoint checkpoint, bytes [0, 27): copy 1 of the checkpoint: damaged: its checksum does not match",
			"checkpoint checkpoint, bytes [27, 54): copy 2 of the checkpoint: damaged: its checksum does not match"}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			p := newPlant(t)
			c.plant(p)
			expectFindings(t, p.mem, c.want)
		})
	}
}

// TestNotes leaves what a crash may leave, and what an earlier start put aside: it is told, and nothing is wrong.
func TestNotes(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(p *plant)
		want  string
	}{
		{"a segment that was moved aside", func(p *plant) { p.write(p.path("00000000000000000012.arrows.damaged"), []byte("x")) },
			"segment 00000000000000000012.arrows.damaged, bucket 7/0/1: an earlier start could read nothing of this segment and moved it aside"},
		{"the first state file gone", func(p *plant) { p.remove("00000000000000000000.state") },
			"state 00000000000000000000.state, bucket 7/0/1: the state file of the first segment is missing"},
		{"a torn group", func(p *plant) {
			path := p.path("00000000000000000008.arrows")
			p.write(path, append(p.read(path), bytes.Repeat([]byte{0xff}, 100)...))
		}, "segment 00000000000000000008.arrows, bytes ["},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			p := newPlant(t)
			c.plant(p)
			findings, reports, err := verify(p.mem)
			if err != nil || len(findings) > 0 || len(reports) != 1 || len(reports[0].Notes) != 1 {
				t.Fatalf("%v, %v, %+v", findings, err, reports)
			}
			n := reports[0].Notes[0]
			n.File = n.File[strings.LastIndexByte(n.File, '/')+1:]
			if got := string(n.Kind) + " " + n.String(); !strings.HasPrefix(got, c.want) || n.Effect == "" {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// state writes the state file of a segment again, changed.
func (p *plant) state(segment int, change func(*fold)) {
	p.t.Helper()
	base := quiver.Offset(4 * segment)
	path := p.path(segmentName(base, stateSuffix))
	f, message, err := decodeState(p.read(path), bucket, base, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	change(f)
	p.write(path, f.encode(bucket, message))
}

func expectFindings(t *testing.T, fsys fs.FS, want []string) {
	t.Helper()
	findings, _, err := verify(fsys)
	if err != nil {
		t.Fatal(err)
	}
	for i := range max(len(findings), len(want)) {
		got := "nothing"
		if i < len(findings) {
			f := findings[i]
			f.File = f.File[strings.LastIndexByte(f.File, '/')+1:]
			got = string(f.Kind) + " " + f.String()
			if f.Effect == "" {
				t.Errorf("%s: no word of what it means", got)
			}
		}
		if i >= len(want) || !strings.HasPrefix(got, want[i]) {
			t.Errorf("found %s\nwant  %s", got, append(want, "nothing")[min(i, len(want))])
		}
	}
}

// TestUnreadableFilesAreFindings has each file of a directory fail to be read.
func TestUnreadableFilesAreFindings(t *testing.T) {
	p := newPlant(t)
	names, err := p.mem.List(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		broken := fs.WithErrors(p.mem, func(op fs.Op, path string) error {
			if op == fs.OpRead && path == p.path(name) {
				return syscall.EIO
			}
			return nil
		})
		expectFindings(t, broken, []string{"unread " + name + ", bucket 7/0/1: "})
	}
}

// TestBrokenRules writes batches that no leader writes: their checksums are right, their place is not.
func TestBrokenRules(t *testing.T) {
	for _, c := range []struct {
		name  string
		stamp func(i int, s *record.Stamp)
		put   func(i int, b *record.Batch)
		want  string
	}{
		{"time", func(i int, s *record.Stamp) { s.Timestamp -= int64(1000 * (i % 2)) }, nil, "it was appended at 2023-11-14T22:13:19.000Z, before the batch in front of it"},
		{"high watermark", func(i int, s *record.Stamp) { s.HighWatermark += quiver.Offset(4 * (i % 2)) }, nil, "it tells of a high watermark of 4, behind its own rows"},
		{"half a put shown", func(i int, s *record.Stamp) {
			s.Flags, s.HighWatermark = record.Continued*record.Flags(1-i%2), quiver.Offset(2*i)
		}, nil, "the high watermark 2 stands within the put that begins at offset 0"},
		{"half a put kept", func(i int, s *record.Stamp) {
			s.Flags, s.Epoch = record.Continued*record.Flags(1-i%2), quiver.Epoch(1+i)
		}, nil, "the put that begins at offset 0 is unfinished, and epoch 2 goes on behind it"},
		{"a sequence twice", nil, func(_ int, b *record.Batch) {
			b.SetProducers([]record.Producer{{Writer: 5, Epoch: 1, Sequence: 7, Rows: 2}})
		}, "sequence 7 of writer 5 stands behind sequence 7: rows are there twice, or out of order"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			mem := fs.NewMem()
			w := newWorld(t, mem)
			w.put(w.lead(), 1)
			writeBatches(t, w, c.stamp, c.put)
			findings, _, err := verify(mem)
			if err != nil || len(findings) != 1 || findings[0].Problem != c.want || findings[0].Offsets != (quiver.OffsetSpan{From: 2, Until: 4}) {
				t.Errorf("found %v, %v\nwant %s", findings, err, c.want)
			}
		})
	}
}

// writeBatches replaces the log by one of two batches of two rows, stamped as a test says.
func writeBatches(t *testing.T, w *world, stamp func(int, *record.Stamp), put func(int, *record.Batch)) {
	t.Helper()
	path := "data/log/7/0/1/" + first + ".arrows"
	data, err := fs.ReadFile(w.fsys, path)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := record.PeekPrefix(data)
	id, err := record.ParseSegmentIdentity(data[:n])
	if err != nil {
		t.Fatal(err)
	}
	data = data[:n]
	previous := uint32(0)
	for i := range 2 {
		b := w.batch(int64(2*i), int64(2*i+1))
		if put != nil {
			put(i, b)
		}
		s := record.Stamp{BaseOffset: quiver.Offset(2 * i), Epoch: 1, Timestamp: w.clock.now.UnixMilli(), Previous: previous}
		if stamp != nil {
			stamp(i, &s)
		}
		b.Seal()
		previous = b.Stamp(s, id.Seed())
		meta, body := b.Stored()
		data = append(data, meta...)
		for _, part := range body {
			data = append(data, part...)
		}
		b.Release()
	}
	if err := fs.WriteFile(w.fsys, path, data); err != nil {
		t.Fatal(err)
	}
}
