package tablet

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/tablet/replica"
)

// Options are the settings and ports of a Server.
type Options struct {
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Elect asks the coordinator for a leadership of the bucket with a higher epoch than every one before. It is
	// called while the bucket waits, and may call Reconcile. nil: a bucket that failed stays without a leader.
	Elect func(ctx context.Context, id quiver.BucketID) (quiver.Epoch, error)
	// Reserve takes so many numbers from a table's counter, and gives the first: nobody else gets any of them. nil: there
	// are no auto-increment columns.
	Reserve func(ctx context.Context, table quiver.TableID, count int64) (first int64, err error)
	// FS and Data are where the rows of primary-key tables are kept: the data directory, which the server shares with
	// the logs. Without them there are no such tables.
	FS   fs.FS
	Data string
	// RowMemory is for the store of these rows, cache, memtables and rows that are held, in bytes. Default: what package kv takes.
	RowMemory int64
	// ChangeBytes bounds the rows that one batch finds, and its changelog. Default: that of package kv.
	ChangeBytes int
	// Self is this server among the members of an in-sync set. Default: 0.
	Self replica.Member
	// Logger gets what an operator should know. Default: slog.Default.
	Logger *slog.Logger
	// Registerer takes the server's metrics. Default: nobody sees them.
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Elect == nil {
		o.Elect = func(context.Context, quiver.BucketID) (quiver.Epoch, error) {
			return 0, errors.New("tablet: there is no coordinator")
		}
	}
	if o.Reserve == nil {
		o.Reserve = func(context.Context, quiver.TableID, int64) (int64, error) {
			return 0, errors.New("tablet: there is no coordinator")
		}
	}
	return o
}
