package tablet

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/tablet/replica"
)

// Options are the settings and ports of a Server.
type Options struct {
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Elect asks the coordinator for a leadership of the bucket with a higher epoch than every one before. Required.
	Elect func(ctx context.Context, id quiver.BucketID) (quiver.Epoch, error)
	// Self is this server among the members of an in-sync set. Default: 0.
	Self replica.Member
	// Logger gets what an operator should know. Default: slog.Default.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Validate names all faults of the options at once.
func (o Options) Validate() error {
	if o.Elect == nil {
		return errors.New("tablet: option Elect is required")
	}
	return nil
}
