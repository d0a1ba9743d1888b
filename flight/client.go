package flight

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"time"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// Client speaks to a server. It holds one connection, which is made by the first call and again whenever it broke, and
// is safe for concurrent use. Close ends it.
//
// Errors are *quiver.Error with the server's reason, outcome and metadata. Two kinds are made here: UNREACHABLE where
// the server did not answer or the connection broke, and what context.Cause gives where the call's own context ended.
type Client struct {
	conn    *grpc.ClientConn
	stub    afl.FlightServiceClient
	options ClientOptions
}

// ClientOptions are the options of Dial. The zero value is a plain connection without a token.
type ClientOptions struct {
	TLS      *tls.Config // nil: a connection that is not encrypted
	Token    string      // sent with every call as "authorization: Bearer …"; anyone on the way reads it without TLS
	RetryFor time.Duration
	// RetryFor is how long an Appender or a Scanner tries to get over one outage: 1 minute by default; negative: it does
	// not. Nothing else is ever tried again by the client.

	MaxMessage int64            // bytes of one message from the server; 512 MiB by default
	Allocator  memory.Allocator // of what the client builds and decodes anew; memory.DefaultAllocator by default
	UserAgent  string           // of the program, before gRPC's own
}

// What options have by default, and bounds that no option moves.
const (
	defaultRetryFor   = time.Minute
	defaultMaxMessage = 512 << 20
	maxExpansion      = 4 // bytes that a message may decompress to, as a multiple of the largest message
	clientIO          = 256 << 10
	clientPing        = 30 * time.Second // of silence, after which the server is asked whether it lives
	clientPingTimeout = 20 * time.Second
	connectTimeout    = 10 * time.Second
)

// withDefaults fills in what is not set.
func (o ClientOptions) withDefaults() ClientOptions {
	if o.RetryFor == 0 {
		o.RetryFor = defaultRetryFor
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.Allocator == nil {
		o.Allocator = memory.DefaultAllocator
	}
	return o
}

// Dial makes a client of the server at an address, "host:port". It does not connect: the first call does.
func Dial(addr string, o ClientOptions) (*Client, error) {
	o = o.withDefaults()
	security := insecure.NewCredentials()
	if o.TLS != nil {
		security = credentials.NewTLS(o.TLS)
	}
	conn, err := grpc.NewClient(addr,
		grpc.WithTransportCredentials(security),
		grpc.WithUserAgent(o.UserAgent),
		grpc.WithReadBufferSize(clientIO), grpc.WithWriteBufferSize(clientIO),
		experimental.WithBufferPool(new(codec.Pool)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: clientPing, Timeout: clientPingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: retryFirst, Multiplier: 1.6, Jitter: 0.2, MaxDelay: retryMost},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(codec.New(codec.Limits{Message: int(o.MaxMessage)})),
			grpc.MaxCallRecvMsgSize(int(2*o.MaxMessage))),
	)
	if err != nil {
		return nil, quiver.Errorf(quiver.BadCommand, "%q is no address: %v", clip(addr), err).Advise(`write "host:port"`)
	}
	return &Client{conn: conn, stub: afl.NewFlightServiceClient(conn), options: o}, nil
}

// Close ends the connection and all calls that run on it.
func (c *Client) Close() error { return c.conn.Close() }

// limits bound what a message of the server may take.
func (c *Client) limits() record.Limits {
	return record.Limits{MaxBody: c.options.MaxMessage, MaxDecompressed: maxExpansion * c.options.MaxMessage}
}

// outgoing adds what every call carries.
func (c *Client) outgoing(ctx context.Context) context.Context {
	if c.options.Token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.options.Token)
}

// settleAttempt keeps gRPC from beginning a stream anew by itself when its connection breaks before the server took
// it. SendMsg then says io.EOF of the broken attempt, as if the call had ended, while RecvMsg waits on its replacement
// for messages that nobody sends any more (grpc-go 1.85). Who asks for the context gets that of the attempt that stays.
func settleAttempt(stream grpc.ClientStream) { _ = stream.Context() }

// Do runs an action and gives its results, each decoded into an R. The body is any of this package's, or a map; nil
// stands for {}. The typed methods of Client are made with it, and it serves what has none yet:
//
//	rows, err := flight.Do[map[string]any](ctx, client, "cluster.health", nil)
//
// Keys that a newer server adds to its results are passed over.
func Do[R any](ctx context.Context, c *Client, action string, body any) ([]R, error) {
	text := []byte("{}")
	if body != nil {
		text = encode(body)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.stub.DoAction(c.outgoing(ctx), &afl.Action{Type: action, Body: text})
	if err != nil {
		return nil, callError(ctx, err)
	}
	var results []R
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return results, nil
		}
		if err != nil {
			return nil, callError(ctx, err)
		}
		results = append(results, *new(R))
		if err := decodeLoose(answer.GetBody(), &results[len(results)-1]); err != nil {
			return nil, err
		}
	}
}

// doOne runs an action that has one result.
func doOne[R any](ctx context.Context, c *Client, action string, body any) (R, error) {
	results, err := Do[R](ctx, c, action, body)
	if err == nil && len(results) != 1 {
		err = quiver.Errorf(quiver.Internal, "the action %s gave %d results, one was expected", action, len(results))
	}
	if err != nil {
		return *new(R), err
	}
	return results[0], nil
}
