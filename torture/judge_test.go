package main

import (
	"slices"
	"strings"
	"testing"
)

// judgeWorld is what clients noted and what the logs hold, made up.
type judgeWorld struct {
	dir   string
	notes *history
	logs  map[int32][]logRow
}

// sizesOf are the rows of the puts of each client.
var sizesOf = []int32{1, 40, 7, 300, 2, 64}

// newJudgeWorld has a plain client 1, all of whose puts lie in bucket 0, and a sequenced client 2 whose writer is 4, on
// two buckets, and a reader of bucket 0. All is well.
func newJudgeWorld(t *testing.T) *judgeWorld {
	t.Helper()
	w := &judgeWorld{dir: t.TempDir(), logs: map[int32][]logRow{}}
	var err error
	if w.notes, err = newHistory(w.dir, "notes"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.notes.close() })
	for put, rows := range sizesOf {
		for _, client := range []int32{1, 2} {
			n := note{Is: isSent, Client: client, Put: int64(put), Rows: rows}
			bucket := int32(0)
			if client == 2 {
				n.Writer = new(uint64(4))
				bucket = int32(put % 2)
			}
			w.note(t, n)
			at := int64(len(w.logs[bucket]))
			w.logs[bucket] = append(w.logs[bucket], rowsOf(client, int64(put), rows)...)
			w.note(t, note{Is: isDone, Client: client, Put: int64(put), Bucket: &bucket, Offset: &at})
		}
	}
	var hash uint64
	for _, r := range w.logs[0][:50] {
		hash = chain(hash, r)
	}
	w.note(t, note{Is: isSaw, Client: 9, Bucket: new(int32(0)), Offset: new(int64(50)), Hash: hash})
	w.note(t, note{Is: isSaw, Client: chooser, Bucket: new(int32(0)), Offset: new(int64(50)), Hash: chosen(w.logs[0][:50])})
	return w
}

func (w *judgeWorld) note(t *testing.T, n note) {
	t.Helper()
	if err := w.notes.note(n); err != nil {
		t.Fatal(err)
	}
}

// chooser is the reader that wants no more than some columns of some rows.
const chooser = 8

// chosen is the hash over what it is to be shown of rows.
func chosen(rows []logRow) (hash uint64) {
	for _, r := range rows {
		hash = choices[2].chain(hash, r)
	}
	return hash
}

func rowsOf(client int32, put int64, rows int32) (out []logRow) {
	for row := range rows {
		out = append(out, logRow{client: client, put: put, row: row, of: rows, check: checkOf(client, put, row, rows)})
	}
	return out
}

// without leaves a put out of a bucket.
func without(rows []logRow, client int32, put int64) []logRow {
	return slices.DeleteFunc(slices.Clone(rows), func(r logRow) bool { return r.client == client && r.put == put })
}

// faults are the first words of what is found.
func (w *judgeWorld) faults(t *testing.T) (words []string) {
	t.Helper()
	s, err := tell([]string{w.notes.path})
	if err != nil {
		t.Fatal(err)
	}
	s.choices = map[int32]*choice{chooser: &choices[2]}
	j := newLogJudge(s, shape{buckets: 2})
	for b := range int32(2) {
		l := j.open(b)
		for _, r := range w.logs[b] {
			l.row(r)
		}
		l.end()
	}
	j.puts()
	for _, f := range j.faults {
		word, _, _ := strings.Cut(f, ":")
		words = append(words, word)
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// TestJudge plants every fault into what the logs hold or what was noted.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		what  string
		plant func(*judgeWorld)
		want  []string
	}{
		{"nothing", func(*judgeWorld) {}, nil},
		{"the last put is not there", func(w *judgeWorld) { w.logs[0] = without(w.logs[0], 1, 5) }, []string{"lost"}},
		{"an early put is not there", func(w *judgeWorld) { w.logs[1] = without(w.logs[1], 2, 1) }, []string{"gap", "lost", "moved"}},
		{"a put is there twice", func(w *judgeWorld) { w.logs[0] = append(w.logs[0], rowsOf(1, 5, 64)...) }, []string{"doubled"}},
		{"a put is there twice, in two buckets", func(w *judgeWorld) { w.logs[1] = append(w.logs[1], rowsOf(2, 4, 2)...) }, []string{"doubled", "reordered"}},
		{"two puts are exchanged", func(w *judgeWorld) {
			w.logs[0] = append(without(without(w.logs[0], 1, 4), 1, 5), append(rowsOf(1, 5, 64), rowsOf(1, 4, 2)...)...)
		}, []string{"moved", "reordered"}},
		{"a put lacks its last rows", func(w *judgeWorld) { w.logs[0] = w.logs[0][:len(w.logs[0])-3] }, []string{"torn"}},
		{"a put lacks its first rows", func(w *judgeWorld) { w.logs[1] = w.logs[1][3:] }, []string{"moved", "torn"}},
		{"a put that nobody sent", func(w *judgeWorld) { w.logs[1] = append(w.logs[1], rowsOf(7, 0, 3)...) }, []string{"invented"}},
		{"a put that was refused", func(w *judgeWorld) {
			_ = w.notes.note(note{Is: isSent, Client: 1, Put: 6, Rows: 4})
			_ = w.notes.note(note{Is: isRefused, Client: 1, Put: 6})
			w.logs[0] = append(w.logs[0], rowsOf(1, 6, 4)...)
		}, []string{"ghost"}},
		{"a put that is open, and there", func(w *judgeWorld) {
			_ = w.notes.note(note{Is: isSent, Client: 1, Put: 6, Rows: 4})
			w.logs[0] = append(w.logs[0], rowsOf(1, 6, 4)...)
		}, nil},
		{"a put that is unknown, was refused later, and is there", func(w *judgeWorld) {
			_ = w.notes.note(note{Is: isSent, Client: 1, Put: 6, Rows: 4})
			_ = w.notes.note(note{Is: isUnknown, Client: 1, Put: 6})
			_ = w.notes.note(note{Is: isSent, Client: 1, Put: 6, Rows: 4})
			_ = w.notes.note(note{Is: isRefused, Client: 1, Put: 6})
			w.logs[0] = append(w.logs[0], rowsOf(1, 6, 4)...)
		}, nil},
		{"a put that is unknown, and not there", func(w *judgeWorld) {
			_ = w.notes.note(note{Is: isSent, Client: 1, Put: 6, Rows: 4})
			_ = w.notes.note(note{Is: isUnknown, Client: 1, Put: 6})
		}, nil},
		{"a put was told at another place", func(w *judgeWorld) {
			_ = w.notes.note(note{Is: isDone, Client: 1, Put: 3, Bucket: new(int32(0)), Offset: new(int64(7))})
		}, []string{"moved", "told twice"}},
		{"a sequenced put lies in another bucket", func(w *judgeWorld) {
			_ = w.notes.note(note{Is: isSent, Client: 2, Put: 6, Rows: 4, Writer: new(uint64(4))})
			w.logs[1] = append(w.logs[1], rowsOf(2, 6, 4)...)
		}, []string{"routed"}},
		{"a reader was shown what is not there", func(w *judgeWorld) {
			_ = w.notes.note(note{Is: isSaw, Client: 9, Bucket: new(int32(1)), Offset: new(int64(100_000)), Hash: 1})
		}, []string{"dirty"}},
		{"a reader of some rows was shown one too few", func(w *judgeWorld) {
			rows := slices.DeleteFunc(slices.Clone(w.logs[0]), func(r logRow) bool { return !choices[2].keeps(r) })
			_ = w.notes.note(note{Is: isSaw, Client: chooser, Bucket: new(int32(0)), Offset: new(int64(len(w.logs[0]))), Hash: chosen(rows[1:])})
		}, []string{"dirty"}},
		{"a reader of some rows was shown all of them", func(w *judgeWorld) {
			_ = w.notes.note(note{Is: isSaw, Client: chooser, Bucket: new(int32(0)), Offset: new(int64(len(w.logs[0]))), Hash: chosen(w.logs[0])})
		}, nil},
		{"a reader was shown other rows", func(w *judgeWorld) {
			_ = w.notes.note(note{Is: isSaw, Client: 9, Bucket: new(int32(1)), Offset: new(int64(3)), Hash: 1})
		}, []string{"dirty"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newJudgeWorld(t)
			c.plant(w)
			if got := w.faults(t); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// TestFoldChange refuses every change that no changelog may hold.
func TestFoldChange(t *testing.T) {
	for _, c := range []struct {
		log  string // what key row, …
		want string
	}{
		{"+I a 1, -U a 1, +U a 2, -D a 2, +I a 3", ""},
		{"+I a 1, +I b 1, -D a 1, -D b 1", ""},
		{"+I a 1, +I a 2", "was there"},
		{"-D a 1", "is deleted"},
		{"+I a 1, -D a 2", "is deleted"},
		{"-U a 1", "said to have been"},
		{"+I a 1, -U a 2", "said to have been"},
		{"+I a 1, +U a 2", "does not stand before"},
		{"+I a 1, -U a 1, -D a 1", "follows the update-before"},
		{"+I a 1, +I b 1, -U a 1, +U b 2", "follows the update-before"},
	} {
		rows, before := map[string]string{}, map[int32]string{}
		var err error
		for text := range strings.SplitSeq(c.log, ", ") {
			f := strings.Fields(text)
			if err = foldChange(rows, before, change{what: f[0], key: f[1], row: f[2]}); err != nil {
				break
			}
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.log, err, c.want)
		}
	}
}
