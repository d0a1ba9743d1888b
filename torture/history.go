package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// note is one line of a history: what a client was about to do, what came of it, or what it was shown. It is in the file
// before the client goes on, so that whatever it did is known, also if the harness itself dies.
type note struct {
	Is     string  `json:"is"` // sent, done, refused, failed, unknown; saw; found
	Client int32   `json:"client"`
	Put    int64   `json:"put"`
	Rows   int32   `json:"rows,omitempty"`
	Writer *uint64 `json:"writer,omitempty"` // of a sequenced producer; Put is the sequence
	Bucket *int32  `json:"bucket,omitempty"`
	Offset *int64  `json:"offset,omitempty"` // of a put's first row; of saw: one past the last row shown
	Hash   uint64  `json:"hash,omitempty,string"`
	Key    string  `json:"key,omitempty"`
	Value  int64   `json:"value,omitempty"`
}

const (
	isSent    = "sent"
	isDone    = "done"
	isRefused = "refused" // surely no row of this attempt is stored
	isUnknown = "unknown"
	isFailed  = "failed" // a condition failed, for every attempt of it: nothing of it is stored, then or before
	isSaw     = "saw"
	isFound   = "found"
)

// history is the notes of the clients of one table.
type history struct {
	path string
	mu   sync.Mutex
	file *os.File
}

const historySuffix = ".jsonl"

func newHistory(dir, name string) (*history, error) {
	path := filepath.Join(dir, name+historySuffix)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return &history{path: path, file: f}, err
}

func (h *history) note(n note) error {
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err = h.file.Write(append(line, '\n'))
	return err
}

func (h *history) close() error { return h.file.Close() }

// eachNote reads histories back, each from its begin. A last line without its end was not written by then.
func eachNote(paths []string, see func(note) error) error {
	for _, path := range paths {
		if err := eachNoteOf(path, see); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func eachNoteOf(path string, see func(note) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was read only
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var n note
		if err := json.Unmarshal(line, &n); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		if err := see(n); err != nil {
			return err
		}
	}
}

// place is where a put begins.
type place struct {
	bucket int32
	offset int64
}

// putStory is a put as its client knows it. Of one that was tried again the best outcome counts.
type putStory struct {
	rows    int32
	writer  *uint64
	sent    bool
	done    bool
	open    bool // an attempt had no answer, or an unknown one
	waiting bool // the last attempt has no outcome yet
	told    []place
}

// mark is what a reader noted: the hash over all rows of the bucket before the offset.
type mark struct {
	reader int32
	offset int64
	hash   uint64
}

// story is histories put together.
type story struct {
	clients map[int32][]*putStory // by client, then put
	marks   map[int32][]mark      // by bucket
	choices map[int32]*choice     // by reader; those that are not in it were shown everything
}

// tell puts the histories of log producers and readers together.
func tell(paths []string) (*story, error) {
	s := &story{clients: map[int32][]*putStory{}, marks: map[int32][]mark{}}
	if err := eachNote(paths, s.take); err != nil {
		return nil, err
	}
	for _, puts := range s.clients {
		for _, p := range puts {
			p.open = p.open || p.waiting
		}
	}
	return s, nil
}

func (s *story) take(n note) error {
	if n.Is == isSaw {
		s.marks[*n.Bucket] = append(s.marks[*n.Bucket], mark{n.Client, *n.Offset, n.Hash})
		return nil
	}
	for n.Is == isSent && n.Put >= int64(len(s.clients[n.Client])) { // those before it were never sent
		s.clients[n.Client] = append(s.clients[n.Client], &putStory{rows: n.Rows, writer: n.Writer})
	}
	puts := s.clients[n.Client]
	if n.Put >= int64(len(puts)) {
		return fmt.Errorf("the harness itself: %s is noted as %s and was not sent", name(n.Client, n.Put), n.Is)
	}
	p := puts[n.Put]
	switch n.Is {
	case isSent:
		if p.sent && p.rows != n.Rows {
			return fmt.Errorf("the harness itself: %s was sent again with other rows", name(n.Client, n.Put))
		}
		p.sent, p.rows = true, n.Rows
		p.open = p.open || p.waiting
		p.waiting = true
		return nil
	case isDone:
		p.done = true
		if n.Bucket != nil && n.Offset != nil {
			if at := (place{*n.Bucket, *n.Offset}); !slices.Contains(p.told, at) {
				p.told = append(p.told, at)
			}
		}
	case isUnknown:
		p.open = true
	case isRefused:
	default:
		return fmt.Errorf("the harness itself: a note is %q", n.Is)
	}
	p.waiting = false
	return nil
}
