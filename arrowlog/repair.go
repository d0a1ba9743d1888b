package arrowlog

import (
	"fmt"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// The points of recovery.
var (
	pointRecoverRewrite = fault.New("arrowlog.recover.before-rewrite")
	pointRecoverZero    = fault.New("arrowlog.recover.before-zero")
	pointRecoverSync    = fault.New("arrowlog.recover.before-sync")
	pointAfterRecover   = fault.New("arrowlog.recover.after-sync")
	pointCutUnit        = fault.New("arrowlog.lead.before-cut")
	pointCutSync        = fault.New("arrowlog.lead.before-sync")
)

// repair writes what is kept beyond safe again and zeros behind it.
func (r *recovery) repair(f fs.File, s *segment) error {
	d := r.log.disk
	from := r.pos
	for i := len(r.entries) - 1; i >= 0 && r.entries[i].until() > r.safe; i-- {
		from = r.entries[i].pos
	}
	if from == r.pos && !r.cut && r.head.mended == nil {
		return nil
	}
	if err := d.Fence(); err != nil {
		return err
	}
	out, err := d.files.acquire(s.path(segmentSuffix), true)
	if err != nil {
		return err
	}
	defer d.files.release(out)
	if r.head.mended != nil {
		if _, err := out.WriteAt(r.head.mended, 0); err != nil {
			return d.failWrite(err)
		}
	}
	if err := pointRecoverRewrite.Hit(); err != nil {
		return err
	}
	if err := rewrite(f, out, from, r.pos); err != nil {
		return d.failWrite(err)
	}
	if r.cut {
		d.metrics.cutTails.Inc()
		d.logger.Warn("the end of a log was not durable and is cut off", "bucket", r.log.id.String(),
			"segment", int64(s.base), "offset", int64(r.end), "bytes", r.size-r.pos)
		if err := pointRecoverZero.Hit(); err != nil {
			return err
		}
		if err := writeZeros(out, r.pos, r.size); err != nil {
			return d.failWrite(err)
		}
	}
	if err := pointRecoverSync.Hit(); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return d.failWrite(err)
	}
	return pointAfterRecover.Hit()
}

// rewrite writes the bytes [from, until) of a file over themselves.
func rewrite(in, out fs.File, from, until int64) error {
	b := buf.Get(int(min(until-from, 1<<20)))
	defer b.Release()
	for from < until {
		part := b.Bytes()[:min(until-from, 1<<20)]
		if _, err := in.ReadAt(part, from); err != nil {
			return err
		}
		if _, err := out.WriteAt(part, from); err != nil {
			return err
		}
		from += int64(len(part))
	}
	return nil
}

// writeZeros writes zeros over [from, until).
func writeZeros(out fs.File, from, until int64) error {
	for from < until {
		n := min(until-from, int64(len(zeroBlock)))
		if _, err := out.WriteAt(zeroBlock[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// cutUnit cuts a unit that its leader did not finish off the end. The caller holds the role.
func (l *Log) cutUnit() error {
	d := l.disk
	if err := d.Fence(); err != nil {
		return err
	}
	from := l.fold.unit
	s := l.segments[len(l.segments)-1]
	entries := l.entries
	if l.tail == nil {
		x, err := s.loadIndex()
		if err != nil {
			return err
		}
		entries = x.entries
	}
	i := find(entries, from)
	if i == len(entries) {
		return quiver.Errorf(quiver.Internal, "the unit at offset %d is in no segment", from).On(subject(l.id))
	}
	d.logger.Warn("an unfinished put is cut off the end of a log", "bucket", l.id.String(), "from", int64(from), "until", int64(l.durable))
	if err := pointCutUnit.Hit(); err != nil {
		return err
	}
	if err := s.zeroFrom(entries[i].pos); err != nil {
		return fmt.Errorf("arrowlog: cut the end of bucket %s: %w", l.id, err)
	}
	l.mu.Lock()
	m := mark{start: l.start, high: l.high, recovery: min(l.recovery, from)}
	l.mu.Unlock()
	d.indexes.drop(s)
	return l.recover(m)
}

// zeroFrom overwrites everything from pos on with zeros, durably.
func (s *segment) zeroFrom(pos int64) error {
	d := s.log.disk
	f, err := d.files.acquire(s.path(segmentSuffix), true)
	if err != nil {
		return err
	}
	defer d.files.release(f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := writeZeros(f, pos, info.Size()); err != nil {
		return d.failWrite(err)
	}
	if err := pointCutSync.Hit(); err != nil {
		return err
	}
	return d.failWrite(f.Sync())
}
