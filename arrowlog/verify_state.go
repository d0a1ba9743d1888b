package arrowlog

import (
	"fmt"
	"slices"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// readState reads the state file of a segment.
func (k *logCheck) readState(s *segment) (*fold, []byte, error) {
	data, err := fs.ReadFile(k.v.disk.fsys, s.path(stateSuffix))
	if err != nil {
		return nil, nil, err
	}
	k.read(int64(len(data)))
	return decodeState(data, k.report.Bucket, s.base, 0)
}

// state checks a segment's state file against what was read of the log before it, and goes on from it.
func (k *logCheck) state(i int, state *fold, err error) {
	s := k.segments[i]
	path := s.path(stateSuffix)
	if isReadError(err) {
		k.unread(path, err)
		return
	}
	if isNotExist(err) && s.base == 0 {
		k.note(quiver.Note{Kind: quiver.FindingState, File: path, Problem: "the state file of the first segment is missing, which a crash may do as it is made",
			Effect: "the next start makes it anew"})
		return
	}
	if err != nil {
		f := quiver.Finding{Kind: quiver.FindingState, File: path, Problem: err.Error(), Effect: effectState}
		if isNotExist(err) {
			f.Problem = "the state file of a segment is missing"
		}
		if i == 0 && s.base > 0 {
			f.Effect = effectFirst
		}
		k.add(f)
		return
	}
	if k.fold != nil {
		if problem := k.differs(state); problem != "" {
			k.add(quiver.Finding{Kind: quiver.FindingState, File: path, Problem: problem,
				Effect: "what the log says is right; a server that trusts the file may take a batch twice or refuse one"})
		}
	}
	k.fold = state
}

// differs tells in what a state file says something else than the log before it.
func (k *logCheck) differs(state *fold) string {
	read := k.fold
	switch {
	case state.next != read.next: // told by the gap between the segments
		return ""
	case state.chain != read.chain:
		return fmt.Sprintf("it says that the last header checksum before the segment is %08x, it is %08x", state.chain, read.chain)
	case state.time != read.time:
		return fmt.Sprintf("it says that the last batch before the segment is of %s, it is of %s", moment(state.time), moment(read.time))
	case !slices.Equal(state.epochs, read.epochs):
		return fmt.Sprintf("it tells of the epochs %v, the log has %v", state.epochs, read.epochs)
	}
	for _, id := range state.writers.ids() {
		if read.writers.byID[id] == nil {
			return fmt.Sprintf("it tells of writer %d, who has put nothing", id)
		}
	}
	for _, id := range read.writers.ids() {
		if problem := k.writerDiffers(id, state.writers.byID[id], read.writers.byID[id]); problem != "" {
			return problem
		}
	}
	return ""
}

// writerDiffers compares what a state file says of a writer with all that the log has. A writer that was silent for a
// while may have been forgotten, and begun anew.
func (k *logCheck) writerDiffers(id quiver.WriterID, said, read *writer) string {
	within := repeatWithin.Milliseconds()
	if e := k.config.WriterExpiry; e > 0 {
		within = min(within, e.Milliseconds())
	}
	if said == nil {
		if k.fold.time-read.time < within {
			return fmt.Sprintf("it does not tell of writer %d, who has put sequence %d", id, read.last)
		}
		return ""
	}
	n := len(said.recent)
	if said.epoch > read.epoch || said.time != read.time || n > len(read.recent) || !slices.Equal(said.recent, read.recent[len(read.recent)-n:]) {
		return fmt.Sprintf("it says that the last sequence of writer %d is %d, the log has %d", id, said.last, read.last)
	}
	return ""
}
