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
	DefaultReceive    = 576 << 20 // two messages of the largest size, and some
	DefaultSend       = 512 << 20
	DefaultRowMemory  = 384 << 20
	DefaultCalls      = 16_384
	DefaultConns      = 10_000
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
	Receive     int64         // bytes of messages that come in and nobody has taken yet, over all streams
	Send        int64         // bytes of rows that were sent and no reader has taken yet, over all streams
	RowMemory   int64         // bytes of the store of primary-key tables: cache, memtables, rows that are held
	Calls       int           // that may run at one time
	Connections int           // to the Flight port that may be open at one time
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
	if o.Receive == 0 {
		o.Receive = max(DefaultReceive, 2*o.MaxMessage+64<<20)
	}
	if o.Send == 0 {
		o.Send = DefaultSend
	}
	if o.RowMemory == 0 {
		o.RowMemory = DefaultRowMemory
	}
	if o.Calls == 0 {
		o.Calls = DefaultCalls
	}
	if o.Connections == 0 {
		o.Connections = DefaultConns
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
	if least := o.MaxMessage + 4<<20; o.Receive < least {
		faults = append(faults, fmt.Errorf("the memory for messages that come in is %d bytes, it must be at least the largest message and 4 MiB, %d bytes", o.Receive, least))
	}
	if o.Send < 1<<20 {
		faults = append(faults, fmt.Errorf("the memory for rows on their way out is %d bytes, it must be at least 1 MiB", o.Send))
	}
	if o.RowMemory < 4<<20 {
		faults = append(faults, fmt.Errorf("the memory of the store of rows is %d bytes, it must be at least 4 MiB", o.RowMemory))
	}
	if o.Calls < 1 || o.Connections < 1 {
		faults = append(faults, fmt.Errorf("%d calls over %d connections may run, there must be one of each at least", o.Calls, o.Connections))
	}
	return errors.Join(faults...)
}
