package arrowlog

import "github.com/quiverlog/quiver"

// survey is a look at all batches of a log by their places, without reading one. It keeps the segments it looks at.
type survey struct {
	log      *Log
	segments []*segment
	entries  []entry // of the last segment, if it is open
	open     bool
	start    quiver.Offset
	durable  quiver.Offset
}

// survey begins a look; close ends it.
func (l *Log) survey() *survey {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		s.retain()
	}
	return &survey{log: l, segments: l.segments, entries: l.entries, open: l.open, start: l.start, durable: l.durable}
}

func (v *survey) close() {
	for _, s := range v.segments {
		s.release()
	}
}

// of gives the entries of the i-th segment; none of one that is damaged all over.
func (v *survey) of(i int) ([]entry, error) {
	if v.open && i == len(v.segments)-1 {
		return v.entries, nil
	}
	x, err := v.segments[i].loadIndex()
	switch {
	case quiver.ReasonOf(err) == quiver.CorruptRange:
		return nil, nil
	case err != nil:
		return nil, readError(v.log.id, err)
	}
	return x.entries, nil
}

// Size adds up what the batches that hold rows of [from, until) take in their segments, in bytes.
func (l *Log) Size(from, until quiver.Offset) (int64, error) {
	v := l.survey()
	defer v.close()
	var bytes int64
	for i, s := range v.segments {
		if s.base >= until {
			break
		}
		if i+1 < len(v.segments) && v.segments[i+1].base <= from {
			continue
		}
		entries, err := v.of(i)
		if err != nil {
			return 0, err
		}
		for _, e := range entries[find(entries, from):] {
			if e.base >= until {
				break
			}
			bytes += e.size()
		}
	}
	return bytes, nil
}
