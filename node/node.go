package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/coordinator"
	"github.com/quiverlog/quiver/coordinator/metastore"
	"github.com/quiverlog/quiver/flight/server"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/tablet"
)

// maxHTTPConnections are served at one time; more wait until one of them ends.
const maxHTTPConnections = 256

// changeMessages is how many of the largest messages the rows may take that one batch finds or changes.
const changeMessages = 4

// Node is one process of Quiver. Open it, Run it, Close it.
type Node struct {
	options     Options
	started     time.Time
	registry    *prometheus.Registry
	lock        io.Closer
	store       *metastore.Embedded
	disk        *arrowlog.Disk
	tablets     *tablet.Server
	coordinator *coordinator.Coordinator
	service     *server.Service
	grpc        transport
	flight      net.Listener
	http        net.Listener // nil without an HTTP port
	web         *http.Server
	serving     atomic.Bool
	draining    atomic.Bool
}

// transport is the listening side of the Flight service. Only flight knows gRPC.
type transport interface {
	Serve(net.Listener) error
	GracefulStop()
	Stop()
}

// Open takes the data directory, recovers the metadata and binds the ports. What it fails with names the directory or
// the address, and what to do.
func Open(options Options) (*Node, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	n := &Node{options: options, started: options.Now()}
	n.registry = n.newRegistry()
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// open builds the node from below upwards; Close takes down what was built.
func (n *Node) open() error {
	if err := n.openData(); err != nil {
		return err
	}
	if err := n.listen(); err != nil {
		return err
	}
	return n.openServers()
}

// openData takes the directory and opens the two stores in it.
func (n *Node) openData() (err error) {
	o := n.options
	if err := fs.MakeDirs(o.FS, o.Data); err != nil {
		return fmt.Errorf("make the data directory %s: %w; give another --data", o.Data, err)
	}
	if n.lock, err = o.FS.Lock(filepath.Join(o.Data, "LOCK")); err != nil {
		return lockError(o.Data, err)
	}
	if n.store, err = metastore.OpenEmbedded(o.FS, filepath.Join(o.Data, "meta"), metastore.EmbeddedOptions{Logger: o.Logger}); err != nil {
		return fmt.Errorf("open the metadata in %s: %w", o.Data, err)
	}
	n.disk, err = arrowlog.OpenDisk(o.FS, o.Data, arrowlog.Options{
		Now: o.Now, Salt: o.Rand, Reserve: o.DiskReserve, Logger: o.Logger, Registerer: n.registry,
	})
	if err != nil {
		return fmt.Errorf("open the logs in %s: %w", o.Data, err)
	}
	return nil
}

// lockError tells a directory that another process holds from one that cannot be written to.
func lockError(data string, err error) error {
	var at *os.PathError
	if errors.As(err, &at) && at.Op == "open" {
		return fmt.Errorf("write to the data directory %s: %w; give another --data", data, err)
	}
	return fmt.Errorf("the data directory %s is in use by another process: stop it, or give another --data (%w)", data, err)
}

// openServers starts the coordinator over the tablets; its first decision makes them leaders of all their buckets.
func (n *Node) openServers() (err error) {
	o := n.options
	n.tablets = tablet.New(n.disk, tablet.Options{
		Now: o.Now, Logger: o.Logger, Registerer: n.registry,
		Elect: func(ctx context.Context, bucket quiver.BucketID) (quiver.Epoch, error) {
			return n.coordinator.Elect(ctx, bucket)
		},
		Reserve: func(ctx context.Context, table quiver.TableID, count int64) (int64, error) {
			return n.coordinator.ReserveNumbers(ctx, table, count)
		},
		FS: o.FS, Data: o.Data, RowMemory: o.RowMemory, ChangeBytes: int(min(changeMessages*o.MaxMessage, 1<<30)),
	})
	n.coordinator, err = coordinator.Open(context.Background(), n.store, coordinator.Options{
		Now: o.Now, Reconcile: n.tablets.Reconcile, Logger: o.Logger, Registerer: n.registry,
	})
	if err != nil {
		return fmt.Errorf("load the metadata in %s: %w", o.Data, err)
	}
	if err := n.checkLogs(); err != nil {
		return err
	}
	n.service = server.New(n.coordinator, n.tablets, server.Options{
		MaxMessage: o.MaxMessage, PutMemory: o.PutMemory,
		Receive: o.Receive, Send: o.Send, Calls: o.Calls, Connections: o.Connections, CreateTables: o.CreateTables, Location: n.location(),
		Now: o.Now, Logger: o.Logger, Registerer: n.registry,
	})
	n.grpc = n.service.NewGRPC()
	return nil
}

// listen binds the ports.
func (n *Node) listen() (err error) {
	if n.flight, err = net.Listen("tcp", n.options.FlightAddr); err != nil {
		return fmt.Errorf("listen for Flight on %s: %w; give another --flight-addr", n.options.FlightAddr, err)
	}
	if n.options.HTTPAddr == "" {
		return nil
	}
	if n.http, err = net.Listen("tcp", n.options.HTTPAddr); err != nil {
		return fmt.Errorf("listen for HTTP on %s: %w; give another --http-addr", n.options.HTTPAddr, err)
	}
	n.http = netutil.LimitListener(n.http, maxHTTPConnections)
	n.web = &http.Server{Handler: n.newHTTP(), ReadTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	return nil
}

// location is where clients reach the Flight port; "" if it listens on all addresses, of which none is known to be
// the right one.
func (n *Node) location() string {
	host, _, err := net.SplitHostPort(n.FlightAddr())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		return ""
	}
	return "grpc://" + n.FlightAddr()
}

// FlightAddr is the address the Flight port is bound to.
func (n *Node) FlightAddr() string { return n.flight.Addr().String() }

// HTTPAddr is the address the HTTP port is bound to, "" without one.
func (n *Node) HTTPAddr() string {
	if n.http == nil {
		return ""
	}
	return n.http.Addr().String()
}

// Run serves until the context ends, then drains: no new stream is taken, those that run end with SERVER_DRAINING
// after what they staged is settled.
func (n *Node) Run(ctx context.Context) error {
	group, background := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := n.grpc.Serve(n.service.Listen(n.flight)); background.Err() == nil {
			return err
		}
		return nil // told to stop, perhaps before it began
	})
	if n.web != nil {
		group.Go(func() error { return ignoreClosed(n.web.Serve(n.http)) })
	}
	group.Go(func() error { return n.tablets.Run(background) })
	group.Go(func() error { return n.service.Watch(background) })
	group.Go(func() error { return n.heal(background) })
	group.Go(func() error { return n.collect(background) })
	group.Go(func() error { return n.autoPartitions(background) })
	group.Go(func() error {
		<-background.Done()
		n.drain()
		return nil
	})
	n.serving.Store(true)
	n.options.Logger.Info("serving", "version", n.options.Version, "flight", n.FlightAddr(), "http", n.HTTPAddr(), "data", n.options.Data)
	return group.Wait()
}

// drain ends the service, in this order: /readyz answers 503, new calls are refused, running ones end with
// SERVER_DRAINING once what they staged is settled. Until the last of them has ended the ports stay open, so that who
// calls learns why, and the metrics can be read. What has not ended after DrainTime is cut.
func (n *Node) drain() {
	o := n.options
	n.draining.Store(true)
	n.serving.Store(false)
	began := o.Now()
	o.Logger.Info("draining: no call is taken any more, those that run end with SERVER_DRAINING", "at_most", o.DrainTime.String())
	n.service.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), o.DrainTime)
	defer cancel()
	_ = n.service.Idle(ctx) // if it ends by time, hangUp cuts at once
	if n.hangUp(ctx) {
		o.Logger.Info("drained: every call has ended", "took", o.Now().Sub(began).String())
	} else {
		o.Logger.Warn("the drain took too long: calls whose clients do not read were cut", "at_most", o.DrainTime.String())
	}
	if n.web != nil {
		_ = n.web.Close() // nothing is left to be told
	}
}

// hangUp ends the connections once everything that was sent has been read, and tells whether that came about before
// the context ended; then they are cut.
func (n *Node) hangUp(ctx context.Context) bool {
	cut := context.AfterFunc(ctx, n.grpc.Stop)
	n.grpc.GracefulStop()
	return cut()
}

// noted lists what a node that serves refuses. A disk without room takes no puts, but reads, lookups and deletions go on, and those
// are what helps: so it stays where clients reach it.
func (n *Node) noted() []string {
	notes := []string{}
	if err := n.disk.Writable(); quiver.ReasonOf(err) == quiver.DiskFull {
		notes = append(notes, "puts are refused: "+err.Error())
	}
	return notes
}

// unready lists why the node cannot serve.
func (n *Node) unready() []string {
	reasons := []string{}
	switch {
	case n.draining.Load():
		reasons = append(reasons, "the server is draining")
	case !n.serving.Load():
		reasons = append(reasons, "the server is starting")
	}
	if err := n.disk.Fence(); err != nil {
		reasons = append(reasons, fmt.Sprintf("the disk is fenced: %v; restart after checking it", err))
	}
	if err := n.store.Failed(); err != nil {
		reasons = append(reasons, fmt.Sprintf("the metadata cannot be written: %v", err))
	}
	if err := n.coordinator.Unapplied(); err != nil {
		reasons = append(reasons, fmt.Sprintf("the tablets do not follow the coordinator: %v", err))
	}
	return reasons
}

// Close gives everything back, in the opposite order of Open.
func (n *Node) Close() error {
	var faults []error
	if n.grpc != nil {
		n.grpc.Stop()
		n.service.Wait()
	}
	for _, listener := range []net.Listener{n.flight, n.http} {
		if listener != nil {
			faults = append(faults, ignoreClosed(listener.Close()))
		}
	}
	if n.tablets != nil {
		faults = append(faults, n.tablets.Close())
	}
	if n.coordinator != nil {
		faults = append(faults, n.coordinator.Close())
	}
	if n.disk != nil {
		faults = append(faults, n.disk.Close())
	}
	if n.store != nil {
		faults = append(faults, n.store.Close())
	}
	if n.lock != nil {
		faults = append(faults, n.lock.Close())
	}
	return errors.Join(faults...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
