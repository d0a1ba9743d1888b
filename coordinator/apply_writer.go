package coordinator

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/quiverlog/quiver"
)

// defaultExpiry is how long a grant without a name is kept at least: the default of the table option writer.expiry.
const defaultExpiry = 7 * 24 * time.Hour

// maxPruned bounds how many grants one command prunes.
const maxPruned = 100

func (c InitWriter) apply(s *State) (*change, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	w, err := c.find(s)
	if err != nil {
		return nil, err
	}
	ch := s.newChange()
	if w == nil {
		err = ch.grant(c)
	} else {
		err = ch.raise(w, c.Now)
	}
	if err != nil {
		return nil, err
	}
	ch.prune(s, c.Now)
	return ch, nil
}

func (c InitWriter) check() error {
	switch {
	case c.Name != "" && c.ID != nil:
		return quiver.Errorf(quiver.BadCommand, "a writer is named by name or by writer_id, not by both").On("writer.init")
	case !utf8.ValidString(c.Principal):
		return quiver.Errorf(quiver.BadName, "the principal is not UTF-8").On("writer.init")
	case c.Name != "":
		return quiver.CheckName("writer", c.Name)
	}
	return nil
}

// find gives the writer that is to be raised, or nil if a new one is asked for.
func (c InitWriter) find(s *State) (*writer, error) {
	switch {
	case c.ID != nil:
		return c.findByID(s)
	case c.Name != "":
		if i, found := findNamed(s.named, c.Principal, c.Name); found {
			return s.named[i], nil
		}
	}
	return nil, nil
}

func (c InitWriter) findByID(s *State) (*writer, error) {
	unknown := quiver.Errorf(quiver.UnknownWriter, "it was never issued").On(fmt.Sprintf("writer %d", *c.ID)).
		Advise("get an id with writer.init, without writer_id")
	if *c.ID == 0 || *c.ID >= s.NextWriter {
		return nil, unknown
	}
	i, found := findWriter(s.writers, *c.ID)
	if !found {
		// Only grants that nobody ever raised are pruned, so the id has epoch 0 still.
		return &writer{WriterGrant: quiver.WriterGrant{ID: *c.ID}, principal: c.Principal}, nil
	}
	if w := s.writers[i]; w.principal == c.Principal {
		return w, nil
	}
	return nil, unknown // a denial does not tell what exists
}

// grant gives a new writer id with epoch 0.
func (c *change) grant(w InitWriter) error {
	id := c.head.NextWriter
	if id >= quiver.NoWriter-1 {
		return quiver.Errorf(quiver.Internal, "writer ids are used up").WithOutcome(quiver.NotDone)
	}
	c.head.NextWriter++
	c.create(idKey(writerPrefix, id), writerRecord{Raised: w.Now, Name: w.Name, Principal: w.Principal})
	c.result.Writer = quiver.WriterGrant{ID: id, Raised: w.Now}
	return nil
}

// raise gives a writer its next epoch. Its time never goes back, whatever the clock does.
func (c *change) raise(w *writer, now int64) error {
	if w.Epoch == math.MaxInt32 {
		return quiver.Errorf(quiver.Internal, "its epochs are used up").On(fmt.Sprintf("writer %d", w.ID)).
			WithOutcome(quiver.NotDone).Advise("get a new id with writer.init")
	}
	grant := quiver.WriterGrant{ID: w.ID, Epoch: w.Epoch + 1, Raised: max(now, w.Raised)}
	c.put(idKey(writerPrefix, w.ID), writerRecord{
		Epoch: grant.Epoch, Raised: grant.Raised, Name: w.name, Principal: w.principal,
	})
	c.result.Writer = grant
	return nil
}

// prune forgets old grants: those without a name that were never raised, and that no table's writer.expiry keeps.
// Nothing is lost with them: an id below the counter that is not there was issued with epoch 0, long ago. Raised
// epochs are kept for ever, since they fence.
func (c *change) prune(s *State, now int64) {
	before := now - defaultExpiry.Milliseconds()
	exact := false
	pruned := 0
	for _, w := range s.writers {
		if w.name != "" || w.Epoch > 0 || w.ID == c.result.Writer.ID {
			continue
		}
		if w.Raised >= before || pruned == maxPruned {
			return // ids rise with time: those behind it are younger
		}
		if !exact {
			exact, before = true, now-s.longestExpiry().Milliseconds()
			if w.Raised >= before {
				return
			}
		}
		c.remove(idKey(writerPrefix, w.ID))
		pruned++
	}
}

// longestExpiry gives the longest time for which any table remembers writers, and at least the default.
func (s *State) longestExpiry() time.Duration {
	longest := defaultExpiry
	for _, t := range s.tables {
		longest = max(longest, t.Options.WriterExpiry)
	}
	return longest
}
