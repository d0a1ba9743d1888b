package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// conn is one connection of a client: the stock client for puts, where the harness wants every answer as it comes, and
// ours for all else. Neither tries anything again.
type conn struct {
	stock afl.Client
	*flight.Client
}

func dial(addr string) (*conn, error) {
	stock, err := afl.NewClientWithMiddleware(addr, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 10 * time.Second, Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}}))
	if err != nil {
		return nil, err
	}
	ours, err := flight.Dial(addr, flight.ClientOptions{RetryFor: -1})
	if err != nil {
		return nil, errors.Join(err, stock.Close())
	}
	return &conn{stock, ours}, nil
}

func (c *conn) close() { _ = errors.Join(c.stock.Close(), c.Client.Close()) }

// putCommand is the descriptor of a put.
type putCommand struct {
	Put      string  `json:"put"`
	Op       string  `json:"op,omitempty"`
	Writer   *uint64 `json:"writer_id,omitempty"`
	Epoch    int32   `json:"writer_epoch,omitempty"`
	Sequence *int64  `json:"sequence,omitempty"`
}

// putStream is one put. Its errors are *quiver.Error where the server told a reason.
type putStream struct {
	stream     afl.FlightService_DoPutClient
	writer     *afl.Writer
	cancel     context.CancelFunc
	flushes    int
	batches    int64 // durable, as the answers say
	duplicates int64
}

func (c *conn) put(ctx context.Context, command putCommand, schema *arrow.Schema) (*putStream, error) {
	text, err := json.Marshal(command)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := c.stock.DoPut(ctx)
	if err != nil {
		cancel()
		return nil, flight.FromStatus(err)
	}
	// gRPC begins a stream anew by itself when its connection breaks before the server took it, and then a send that
	// failed has a replacement on which nobody sends. Who asks for the context gets that of the attempt that stays.
	_ = stream.Context()
	w := afl.NewRecordWriter(stream, aipc.WithSchema(schema))
	w.SetFlightDescriptor(&afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: text})
	return &putStream{stream: stream, writer: w, cancel: cancel}, nil
}

// abandon gives the stream up; it is harmless after close.
func (p *putStream) abandon() { p.cancel() }

func (p *putStream) send(batch arrow.RecordBatch) error {
	if err := p.writer.Write(batch); err != nil {
		return p.fail(err)
	}
	return nil
}

// fail waits for what the stream ended with: that says more than the error of a send.
func (p *putStream) fail(cause error) error {
	for {
		if _, err := p.stream.Recv(); errors.Is(err, io.EOF) {
			return fmt.Errorf("a put ended without an error, and a send failed: %w", cause)
		} else if err != nil {
			return flight.FromStatus(err)
		}
	}
}

// flush waits until everything sent is durable, and gives the ranges that were told since the last flush.
func (p *putStream) flush() (ranges []flight.Range, err error) {
	echo := strconv.Itoa(p.flushes)
	p.flushes++
	if err := p.stream.Send(&afl.FlightData{AppMetadata: []byte(`{"flush":` + echo + `}`)}); err != nil {
		return nil, p.fail(err)
	}
	for {
		answer, err := p.stream.Recv()
		if err != nil {
			return nil, flight.FromStatus(err)
		}
		told, err := flight.ParsePutAnswer(answer.AppMetadata)
		if err != nil {
			return nil, err
		}
		p.batches = told.Batches
		p.duplicates += told.Duplicates
		ranges = append(ranges, told.Ranges...)
		if string(told.Flush) == echo {
			return ranges, nil
		}
	}
}

// close ends the stream; it returns when everything is durable.
func (p *putStream) close() error {
	defer p.cancel()
	_ = p.writer.Close() // the stream's end tells more
	if err := p.stream.CloseSend(); err != nil {
		return p.fail(err)
	}
	for {
		if _, err := p.stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return flight.FromStatus(err)
		}
	}
}

// putOne puts one batch in a stream of its own. Without an error it is durable; what the stream ends with beside that
// does not matter any more.
func (c *conn) putOne(ctx context.Context, command putCommand, batch arrow.RecordBatch) error {
	p, err := c.put(ctx, command, batch.Schema())
	if err != nil {
		return err
	}
	defer p.abandon()
	if err = p.send(batch); err == nil {
		_, err = p.flush()
	}
	if err == nil {
		_ = p.close()
	}
	if durableOf(err) > 0 {
		return nil
	}
	return err
}

// durableOf is how many batches a put's error says to be durable.
func durableOf(err error) int64 {
	var e *quiver.Error
	if errors.As(err, &e) {
		n, _ := strconv.ParseInt(e.Meta["durable_batches"], 10, 64)
		return n
	}
	return 0
}

// surelyNot tells that no row of what was put beyond the durable batches is stored.
func surelyNot(err error) bool {
	return quiver.ReasonOf(err) != "" && quiver.OutcomeOf(err) == quiver.NotDone
}
