package scan

import (
	"context"
	"time"

	"github.com/quiverlog/quiver"
)

// News is what a bucket has beyond a position: [From, Until).
type News struct {
	Bucket int32
	From   quiver.Offset
	Until  quiver.Offset
}

// Wait blocks until at least one of the sources can be read beyond the start of its range, and tells all of those.
// At the timeout it tells none. The ends of the ranges do not matter.
func Wait(ctx context.Context, sources []Source, ranges []Range, timeout time.Duration, o Options) ([]News, error) {
	o = o.withDefaults()
	wake := make(chan struct{}, 1)
	for _, src := range sources {
		defer src.Subscribe(wake)()
	}
	fired, stop := o.Timer(timeout)
	defer stop()
	for {
		news, err := look(ctx, sources, ranges)
		if err != nil || len(news) > 0 {
			return news, err
		}
		timeout, err := wait(ctx, wake, fired)
		if err != nil || timeout {
			return nil, err
		}
	}
}

// look tells which sources have something beyond the start of their range.
func look(ctx context.Context, sources []Source, ranges []Range) ([]News, error) {
	var news []News
	for i, src := range sources {
		now, err := src.Offsets(ctx)
		if err != nil {
			return nil, err
		}
		if from := max(ranges[i].From, now.Start); from < now.HighWatermark {
			news = append(news, News{src.Bucket(), from, now.HighWatermark})
		}
	}
	return news, nil
}
