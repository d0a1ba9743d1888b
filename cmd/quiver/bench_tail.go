package main

import (
	"context"
	"math/rand/v2"
	"sync"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// benchPlace is a bucket of the table that is followed.
type benchPlace struct {
	partition string
	bucket    int32
}

// benchEnds says for buckets that the rows before an offset are meant.
type benchEnds map[benchPlace]quiver.Offset

func (e benchEnds) raise(place benchPlace, until quiver.Offset) { e[place] = max(e[place], until) }

// arrivals tells callers that the follower has come past the rows that they put.
type arrivals struct {
	mu    sync.Mutex
	came  benchEnds     // what the follower has
	put   []benchEnds   // by caller: where its rows went
	news  chan struct{} // closed, and made anew, whenever the follower got something
	ended chan struct{}
	err   error // of the follower; set before ended is closed
}

func newArrivals(callers int) *arrivals {
	a := &arrivals{came: benchEnds{}, put: make([]benchEnds, callers), news: make(chan struct{}), ended: make(chan struct{})}
	for i := range a.put {
		a.put[i] = benchEnds{}
	}
	return a
}

// acknowledged takes note of where rows of a caller went.
func (a *arrivals) acknowledged(caller int, ranges []flight.Range) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range ranges {
		a.put[caller].raise(benchPlace{r.Partition, r.Bucket}, r.Until)
	}
}

// follow reads the table as it grows.
func (a *arrivals) follow(s *flight.Scanner) {
	defer close(a.ended)
	for s.Next() {
		if info := s.Info(); info.Bucket != flight.NoBucket && !info.Idle {
			a.arrived(benchPlace{info.Partition, info.Bucket}, info.Until)
		}
	}
	a.err = s.Err()
}

func (a *arrivals) arrived(place benchPlace, until quiver.Offset) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.came.raise(place, until)
	close(a.news)
	a.news = make(chan struct{})
}

// wait waits until the follower has everything that was acknowledged to the caller.
func (a *arrivals) wait(ctx context.Context, caller int) error {
	for {
		a.mu.Lock()
		for place, until := range a.put[caller] {
			if a.came[place] >= until {
				delete(a.put[caller], place)
			}
		}
		missing, news := len(a.put[caller]), a.news
		a.mu.Unlock()
		if missing == 0 {
			return nil
		}
		select {
		case <-news:
		case <-a.ended:
			return a.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// startTail follows the table from its end on: of a table with a primary key the changelog.
func startTail(ctx context.Context, b *benching) (benchOp, func(), error) {
	a := newArrivals(b.callers)
	all, end, err := b.appenders(ctx, a.acknowledged)
	if err != nil {
		return nil, nil, err
	}
	ends, err := b.offsetsAt(ctx, b.table.name, flight.Position{Kind: flight.Latest})
	if err != nil {
		end()
		return nil, nil, err
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	s, err := b.client.Scan(following, flight.ScanCommand{Table: flight.Named(b.table.name), From: vectorOf(ends), Follow: true, Read: flight.ReadLog})
	if err != nil {
		stop()
		end()
		return nil, nil, err
	}
	go a.follow(s)
	return func(ctx context.Context, caller int, random *rand.Rand) (int64, int64, error) {
			rows, bytes, err := put(ctx, all[caller], b.madeUp(random))
			if err == nil {
				err = a.wait(ctx, caller)
			}
			return rows, bytes, err
		}, func() {
			stop()
			<-a.ended
			s.Close()
			end()
		}, nil
}
