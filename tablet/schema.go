package tablet

import (
	"errors"
	"sync"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/arrowlog/record"
)

// A put stream keeps the schema it began with; its table may be altered under it. What is stored has the log's schema,
// which is the table's newest and never goes back: a batch of an older one is brought up to it by column id. So a
// column that was dropped since is discarded, one that was added has its default, and producers of two schemas do not
// make the log begin a segment for each.

// stageAny stages a unit of whatever schema of the table.
func (t *Tablet) stageAny(l *leadership, unit []*record.Batch, o Origin) (arrowlog.Staged, error) {
	for {
		staged, err := t.stage(l, unit, o)
		if !errors.Is(err, arrowlog.ErrSchema) {
			return staged, err
		}
		if unit, err = t.convert(l.log, unit); err != nil {
			return arrowlog.Staged{}, err
		}
	}
}

// convert brings a unit to the schema of the log, after the log to that of the table. It takes over the unit.
func (t *Tablet) convert(log *arrowlog.Log, unit []*record.Batch) ([]*record.Batch, error) {
	defer func() {
		for _, b := range unit {
			b.Release()
		}
	}()
	meta := t.Table()
	if err := log.Configure(logConfig(meta)); err != nil {
		return nil, err
	}
	from, to := unit[0].Layout(), log.Layout()
	if from.ID() > to.ID() {
		return nil, t.unavailable("this server has not heard of the table's newest schema yet", nil)
	}
	if to.ID() != meta.Schema.ID() {
		return retain(unit), nil // altered again: Stage tells, and the table is asked once more
	}
	mapping, err := t.table.mapping(from, meta.Schema)
	if err != nil {
		return nil, err
	}
	out := make([]*record.Batch, 0, len(unit))
	for _, b := range unit {
		converted, err := b.Convert(mapping, to)
		if err != nil {
			for _, b := range out {
				b.Release()
			}
			return nil, err
		}
		out = append(out, converted)
	}
	return out, nil
}

func retain(unit []*record.Batch) []*record.Batch {
	out := make([]*record.Batch, len(unit))
	for i, b := range unit {
		out[i] = b.Retain()
	}
	return out
}

// mappings are those of a table that are in use, by the schemas they lead from and to.
type mappings struct {
	mu   sync.Mutex
	byID map[[2]quiver.SchemaID]*quiver.Mapping
}

// maxMappings bounds how many are kept. They go all at once: who needs one makes it again.
const maxMappings = 64

// mapping is how batches of a layout become those of the newest schema.
func (t *table) mapping(from *record.Layout, to *quiver.Schema) (*quiver.Mapping, error) {
	c := &t.mappings
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]quiver.SchemaID{from.ID(), to.ID()}
	if m := c.byID[key]; m != nil {
		return m, nil
	}
	stored, err := quiver.SchemaFromStored(from.ID(), from.Schema())
	if err != nil {
		return nil, err
	}
	m, err := quiver.MapColumns(stored, to, nil)
	if err != nil {
		return nil, err
	}
	if c.byID == nil || len(c.byID) >= maxMappings {
		c.byID = make(map[[2]quiver.SchemaID]*quiver.Mapping)
	}
	c.byID[key] = m
	return m, nil
}

// logConfig is what the table says about its buckets' logs.
func logConfig(meta *quiver.Table) arrowlog.LogConfig {
	o := &meta.Options
	c := arrowlog.LogConfig{
		Schema:       meta.LogSchema(),
		SegmentBytes: o.SegmentBytes,
		SegmentAge:   o.SegmentAge,
		WriterExpiry: o.WriterExpiry,
		Statistics:   meta.StatisticsColumns(),
	}
	if codec, err := record.ParseCompression(o.Compression); err == nil { // else "as-sent"
		c.Compression = &codec
	}
	// Retention takes whole segments: with few of them much would stay that was to go.
	if o.RetentionTime > 0 {
		c.SegmentAge = min(c.SegmentAge, max(o.RetentionTime/retainedSegments, time.Second))
	}
	if o.RetentionBytes > 0 {
		c.SegmentBytes = min(c.SegmentBytes, max(o.RetentionBytes/retainedSegments, leastSegment))
	}
	return c
}

// What is retained lies in so many segments at least, unless these became too small.
const (
	retainedSegments = 4
	leastSegment     = 64 << 10
)
