package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/tabular"
)

var (
	faultBeforeState = fault.New("quiver.append.before-state")
	faultAfterState  = fault.New("quiver.append.after-state")
)

// resumeState is what --resume keeps in its file: who appends which files to which table, and how far that is durable.
//
// Every row is stored once, whenever the process is killed:
//
//   - the writer's name is in the file before its first batch is sent, and so are the files and the rows of a batch;
//   - the batches of a file are the same whenever it is read (tabular promises it), numbered without a gap;
//   - the file tells only of batches that are durable. Those behind them are sent again under the same numbers, and the
//     server knows which of them it has.
type resumeState struct {
	Table     string          `json:"table"`
	TableID   quiver.TableID  `json:"table_id"`
	Writer    string          `json:"writer"`
	BatchRows int             `json:"batch_rows"`
	Files     []string        `json:"files"`
	File      int             `json:"file"`     // the one that is being read
	Rows      int64           `json:"rows"`     // of it that are durable
	Sequence  quiver.Sequence `json:"sequence"` // of the next batch behind them

	path    string
	pending []int64 // rows of the batches that were sent and are not known to be durable
	counted int64   // batches of this stream that were taken off pending
	saved   time.Time
}

// saveEvery is how often the file is written while all goes well.
const saveEvery = time.Second

// openResume reads the state, or begins a new one. Of an old one the table and the files must be the same, and its
// batches stay as large as they were.
func openResume(path string, table flight.TableDescription, files []string, batchRows *int) (*resumeState, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var random [8]byte
		_, _ = rand.Read(random[:]) // it never fails
		s := &resumeState{Table: table.Table, TableID: table.TableID, Writer: "quiver-append-" + hex.EncodeToString(random[:]),
			BatchRows: *batchRows, Files: files, path: path}
		return s, s.save()
	}
	if err != nil {
		return nil, fmt.Errorf("--resume: %w", err)
	}
	s := &resumeState{path: path}
	if err := json.Unmarshal(text, s); err != nil || s.Writer == "" || s.BatchRows < 1 || s.File < 0 || s.Rows < 0 || s.Sequence < 0 {
		return nil, fmt.Errorf("--resume: %s is no state of an append; name another file", path)
	}
	switch {
	case s.Table != table.Table || s.TableID != table.TableID:
		return nil, fmt.Errorf("--resume: %s belongs to an append to another table, %s with id %d; name another file", path, s.Table, s.TableID)
	case !slices.Equal(s.Files, files[:min(len(files), len(s.Files))]):
		return nil, fmt.Errorf("--resume: %s belongs to an append of %s; name the same files, or another state", path, strings.Join(s.Files, " "))
	}
	s.Files = files
	*batchRows = s.BatchRows
	return s, nil
}

// begin makes the options of the stream that goes on from here.
func (s *resumeState) begin(o *flight.AppendOptions) {
	s.pending, s.counted = nil, 0
	next := s.Sequence
	o.Writer, o.Sequence, o.TableID, o.BatchRows = s.Writer, &next, &s.TableID, s.BatchRows
}

// skip reads over the rows that are durable.
func (s *resumeState) skip(reader tabular.Reader, file string) error {
	for left := s.Rows; left > 0; {
		batch, err := reader.Next()
		if errors.Is(err, io.EOF) || err == nil && batch.NumRows() > left {
			return fmt.Errorf("--resume: %s is not the file that was appended before: %d of its rows are stored already", file, s.Rows)
		}
		if err != nil {
			return err
		}
		left -= batch.NumRows()
		batch.Release()
	}
	return nil
}

// appended notes a batch that is under way.
func (s *resumeState) appended(rows int64) { s.pending = append(s.pending, rows) }

// durable notes what the server acknowledged, and keeps it. At the end of a file the next one begins.
func (s *resumeState) durable(totals flight.AppendTotals, end bool) error {
	before := s.Sequence
	for ; s.counted < totals.Batches && len(s.pending) > 0; s.counted++ {
		s.Rows += s.pending[0]
		s.Sequence++
		s.pending = s.pending[1:]
	}
	if s.Sequence == before || !end && time.Since(s.saved) < saveEvery {
		return nil
	}
	return s.save()
}

// finish notes that a file, and all before it, are stored whole.
func (s *resumeState) finish(file int) error {
	s.File, s.Rows = file, 0
	return s.save()
}

// save writes the file anew: under another name, then in its place, so that there is always a whole one.
func (s *resumeState) save() error {
	s.saved = time.Now()
	if err := faultBeforeState.Hit(); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	err = replaceFile(s.path, append(text, '\n'))
	if err == nil {
		err = faultAfterState.Hit()
	}
	if err != nil {
		return fmt.Errorf("--resume: the state cannot be written: %w", err)
	}
	return nil
}

func replaceFile(path string, text []byte) error {
	made, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = made.Write(text)
	err = errors.Join(err, made.Sync(), made.Close())
	if err == nil {
		err = os.Rename(made.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(made.Name()))
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
