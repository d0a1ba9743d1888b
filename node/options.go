package node

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/quiverlog/quiver/internal/fs"
)

// Defaults of Options.
const (
	DefaultMaxMessage = 256 << 20 // also what the wire contract promises
	DefaultPutMemory  = 512 << 20
	DefaultDrainTime  = 10 * time.Second
)

// Options says where a node keeps its data, where it listens and how much it may use.
type Options struct {
	Data        string        // directory of the data; made if missing
	Memory      bool          // keep everything in memory instead
	FlightAddr  string        // host:port of the Flight listener; port 0 picks one
	HTTPAddr    string        // host:port of the HTTP listener; empty: none
	MaxMessage  int64         // largest body of one message, in bytes
	PutMemory   int64         // bytes of messages on their way in, over all streams
	DrainTime   time.Duration // how long calls may take to end once the node was told to stop; 0: 10 s
	DiskReserve int64         // free bytes below which puts are refused; 0: 2 % of the disk, at most 2 GiB; negative: none

	CreateTables bool   // a table may be created by the first batch put into it
	Version      string // what /version says
	Commit       string // likewise: what it was built from

	Logger *slog.Logger
	FS     fs.FS            // nil: the machine's, or a memory one with Memory
	Now    func() time.Time // nil: time.Now
	Rand   func() uint64    // nil: math/rand/v2
}

// withDefaults fills what was left out.
func (o Options) withDefaults() Options {
	if o.FS == nil && o.Memory {
		o.FS = fs.NewMem()
	}
	if o.FS == nil {
		o.FS = fs.Disk()
	}
	if o.Memory {
		o.Data = "memory"
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.PutMemory == 0 {
		o.PutMemory = DefaultPutMemory
	}
	if o.DrainTime == 0 {
		o.DrainTime = DefaultDrainTime
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// validate names everything that is wrong with the options.
func (o Options) validate() error {
	var faults []error
	if o.Data == "" {
		faults = append(faults, errors.New("no data directory was given: name one with --data, or take --memory"))
	}
	if o.FlightAddr == "" {
		faults = append(faults, errors.New("no Flight address was given"))
	}
	if o.MaxMessage < 1<<20 || o.MaxMessage > 1<<30 {
		faults = append(faults, fmt.Errorf("the largest message is %d bytes, it must be between 1 MiB and 1 GiB", o.MaxMessage))
	}
	if o.DrainTime < 0 {
		faults = append(faults, fmt.Errorf("the time for draining is %v, it must not be negative", o.DrainTime))
	}
	if o.PutMemory < 1<<20 {
		faults = append(faults, fmt.Errorf("the memory for puts is %d bytes, it must be at least 1 MiB", o.PutMemory))
	}
	return errors.Join(faults...)
}
