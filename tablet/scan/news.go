package scan

import (
	"context"
	"time"

	"github.com/quiverlog/quiver"
)

// News is what a bucket has beyond a position: [From, Until).
type News struct {
	ID        quiver.BucketID
	Partition string
	From      quiver.Offset
	Until     quiver.Offset
}

// Wait blocks until at least one of the buckets can be read beyond the start of its range, and tells all of those.
// At the timeout it tells none. Of the spec it takes table, sources, ranges and buckets; the ends of the ranges do not
// matter. Buckets of partitions that come meanwhile count from their first row.
func Wait(ctx context.Context, spec Spec, timeout time.Duration, o Options) ([]News, error) {
	spec.Follow, spec.Newcomers, spec.Columns, spec.Filter = true, Range{Until: NoEnd}, nil, nil
	s, err := Open(spec, o)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	fired, stop := s.options.Timer(timeout)
	defer stop()
	for {
		news, err := s.lookForNews(ctx)
		if err != nil || len(news) > 0 {
			return news, err
		}
		timeout, err := wait(ctx, s.news, fired)
		if err != nil || timeout {
			return nil, err
		}
	}
}

// lookForNews tells which buckets have something beyond the start of their range.
func (s *Scanner) lookForNews(ctx context.Context) ([]News, error) {
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	var news []News
	for _, c := range s.cursors {
		now, err := c.src.Offsets(ctx)
		if s.gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if from := max(c.next, now.Start); from < now.HighWatermark {
			news = append(news, News{c.src.ID(), c.src.PartitionName(), from, now.HighWatermark})
		}
	}
	return news, nil
}
