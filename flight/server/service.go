package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/coordinator"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/flight/internal/codec"
	"github.com/quiverlog/quiver/flight/internal/intake"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/tablet"
)

// Options bound what clients may make the service do.
type Options struct {
	MaxMessage   int64  // largest body of one message, in bytes
	PutMemory    int64  // bytes of bodies on their way in, over all streams; over it streams wait
	Receive      int64  // bytes of messages that gRPC puts together and of those nobody has taken, over all streams
	Send         int64  // bytes of rows on their way out, over all streams; over it they wait, and who does not read is ended
	Calls        int    // that may run
	Connections  int    // that may be open
	CreateTables bool   // a table may be created by the first batch put into it
	Location     string // where clients reach this node, "grpc://host:port"
	Now          func() time.Time
	Logger       *slog.Logger
	Registerer   prometheus.Registerer // takes the service's metrics; nil: nobody sees them
}

// Bounds that no option moves.
const (
	maxWord        = 1 << 20 // bytes of a ticket, a command, an action body, a message header
	maxStreams     = 1024    // of one connection
	maxHeaderList  = 16 << 10
	handshakeTime  = 5 * time.Second
	pingTime       = time.Minute      // of silence, after which a connection is asked whether it lives
	pingTimeout    = 20 * time.Second // to answer; then its streams end
	ioBuffer       = 256 << 10        // of a connection that sends: where gRPC's own throughput levels off
	watchEvery     = 5 * time.Second
	storedBytes    = 3 << 20 // of a stored batch: larger ones are split on the way in
	maxDecompress  = 4       // decompressed bytes of a message, as a multiple of the largest message
	waitingAnswers = 4096    // flushes of one stream that may wait to be answered; then it is not read on
	waitingBytes   = 1 << 20 // bytes of such answers, likewise
)

// Service is the Flight service of one node.
type Service struct {
	afl.BaseFlightServer
	coordinator *coordinator.Coordinator
	tablets     *tablet.Server
	options     Options
	memory      *buf.Budget
	lookups     sync.WaitGroup // exchanges that run, also those whose call has ended
	keys        *buf.Budget    // of messages of lookups: a client that does not read its answers holds up no put
	decoding    *decoding
	limits      record.Limits
	layouts     layouts
	actions     []action
	streams     atomic.Uint32 // put streams so far
	calls       calls
	intake      *intake.Intake
	metrics     *metrics

	serving context.Context // ends when the service takes nothing new
	drain   context.CancelFunc
}

// New returns a service over the coordinator's tables and the node's tablets.
func New(c *coordinator.Coordinator, t *tablet.Server, o Options) *Service {
	s := &Service{
		coordinator: c,
		tablets:     t,
		options:     o,
		memory:      buf.NewBudget(o.PutMemory),
		keys:        buf.NewBudget(o.PutMemory),
		decoding:    newDecoding(o.PutMemory),
		intake: intake.New(intake.Options{
			Receive: o.Receive, Send: o.Send, Streams: o.Calls, Connections: o.Connections, Request: maxWord + maxWord/16,
		}),
		limits: record.Limits{MaxBody: o.MaxMessage, MaxDecompressed: maxDecompress * o.MaxMessage},
	}
	s.serving, s.drain = context.WithCancel(context.Background())
	s.actions = s.actionTable()
	s.metrics = newMetrics(o.Registerer, s)
	return s
}

// NewGRPC returns a gRPC server that serves the service, health and reflection.
func (s *Service) NewGRPC() *grpc.Server {
	g := grpc.NewServer(
		grpc.ForceServerCodecV2(codec.New(codec.Limits{Message: int(s.options.MaxMessage) + 2*maxWord, Field: maxWord})),
		grpc.MaxRecvMsgSize(int(2*s.options.MaxMessage)),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaderList),
		grpc.ConnectionTimeout(handshakeTime),
		experimental.BufferPool(new(codec.Pool)),
		grpc.InTapHandle(s.tap),
		grpc.ReadBufferSize(0), // the connections of Listen have buffers while there is something in them
		grpc.WriteBufferSize(ioBuffer),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingTime, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true), // Stop is followed by closing what they read from
		grpc.UnaryInterceptor(s.guardUnary),
		grpc.StreamInterceptor(s.guardStream),
	)
	afl.RegisterFlightServiceServer(g, s)
	healthpb.RegisterHealthServer(g, health.NewServer())
	reflection.Register(g)
	return g
}

// Listen wraps the listener that the gRPC server serves, so that what comes in over it is counted: see package intake.
func (s *Service) Listen(l net.Listener) net.Listener { return s.intake.Listen(l) }

// Watch ends calls whose messages come too slowly, until the context ends.
func (s *Service) Watch(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.intake.Sweep()
		case <-ctx.Done():
			return nil
		}
	}
}

// Drain refuses new calls and ends the streams that run, with SERVER_DRAINING, once what they staged is settled.
func (s *Service) Drain() { s.drain() }

// Idle returns once no call runs, or when the context ends. It is of use after Drain, when none begins any more.
func (s *Service) Idle(ctx context.Context) error { return s.calls.wait(ctx) }

// Wait returns once no exchange reads rows any more. It follows the end of the gRPC server, and precedes that of the
// tablets: a call may end before what it began notices.
func (s *Service) Wait() { s.lookups.Wait() }

// errDraining is what a call gets while the server goes down.
func errDraining() error {
	return quiver.Errorf(quiver.ServerDraining, "the server is going down").Advise("try again in a moment")
}

// table finds a table, and checks that it is the one a stored position was taken from.
func (s *Service) table(name flight.TableName, id *quiver.TableID) (*quiver.Table, error) {
	t, err := s.coordinator.Table(name.Database, name.Table)
	if err != nil {
		return nil, err
	}
	if id != nil && *id != t.ID {
		return nil, quiver.Errorf(quiver.TableRecreated, "table_id %d is another table, this one has id %d", *id, t.ID).
			On("table " + t.Path()).Advise("the table was dropped and made anew: start from its beginning")
	}
	return t, nil
}

// about names the table in an error that names nothing yet, or only a column.
func about(table string, err error) error {
	known, ok := errors.AsType[*quiver.Error](err)
	switch {
	case !ok:
		return err
	case known.Subject == "":
		return known.On("table " + table)
	case strings.HasPrefix(known.Subject, "column "):
		return known.On("table " + table + ", " + known.Subject)
	}
	return err
}

// advise tells what to do in an error that does not tell it yet.
func advise(err error, hint string) error {
	if known, ok := errors.AsType[*quiver.Error](err); ok && known.Hint == "" {
		return known.Advise(hint)
	}
	return err
}

// parseSchema reads a schema that a client sent, within bounds.
func parseSchema(message []byte) (*arrow.Schema, error) {
	schema, _, err := record.ParseSchema(message)
	return schema, err
}

// stopped derives a context that ends with the call, or when the server drains.
func (s *Service) stopped(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	release := context.AfterFunc(s.serving, func() { cancel(errDraining()) })
	return ctx, func() { release(); cancel(nil) }
}
