package codec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/quiverlog/quiver/internal/buf"
)

func aligned(b *buf.Buf) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b.Bytes())))%64 == 0
}

// bufOwner releases a pooled buffer and counts it down.
type bufOwner struct {
	body *buf.Buf
	held *atomic.Int64
}

func (o bufOwner) Release() {
	o.held.Add(-1)
	o.body.Release()
}

// loopback is a Flight service over real gRPC whose data calls use this package.
type loopback struct {
	afl.BaseFlightServer
	held atomic.Int64
	fail chan error // what DoPut ended with
}

const (
	loopMessages = 40
	loopBody     = 300_000
)

// DoGet sends messages whose bodies lie in pooled memory, in parts of many sizes.
func (s *loopback) DoGet(_ *afl.Ticket, stream afl.FlightService_DoGetServer) error {
	for i := range loopMessages {
		body := buf.Get(loopBody)
		fill(body.Bytes(), i)
		s.held.Add(1)
		b := body.Bytes()
		out := &Out{
			Header: fmt.Appendf(nil, "header %d", i), Metadata: fmt.Appendf(nil, "metadata %d", i),
			Body: [][]byte{b[:10], b[10:1034], b[1034:2059], b[2059:200_000], b[200_000:]}, Owner: bufOwner{body, &s.held},
		}
		if err := Send(stream, out); err != nil {
			return err
		}
	}
	return nil
}

// DoPut checks what comes and answers each message.
func (s *loopback) DoPut(stream afl.FlightService_DoPutServer) error {
	var in In
	defer in.Reset()
	for i := 0; ; i++ {
		if err := Recv(stream, &in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			s.fail <- err
			return stream.SendMsg(&PutResult{Metadata: []byte(err.Error())})
		}
		if err := check(&in, i); err != nil {
			return err
		}
		if err := stream.SendMsg(&PutResult{Metadata: fmt.Appendf(nil, "answer %d", i)}); err != nil {
			return err
		}
	}
}

func fill(b []byte, i int) {
	for j := range b {
		b[j] = byte(i + j>>8)
	}
}

func check(in *In, i int) error {
	want := make([]byte, loopBody)
	fill(want, i)
	switch {
	case !sameHeader(in.Header, fmt.Appendf(nil, "header %d", i)):
		return fmt.Errorf("message %d: header %q", i, in.Header)
	case string(in.Metadata) != fmt.Sprintf("metadata %d", i):
		return fmt.Errorf("message %d: metadata %q", i, in.Metadata)
	case !bytes.Equal(in.Body.Bytes(), want):
		return fmt.Errorf("message %d: another body", i)
	case !aligned(in.Body):
		return fmt.Errorf("message %d: the body is not aligned", i)
	}
	return nil
}

// dial starts the service and a client; own says whether the client uses this package too.
func dial(t testing.TB, own bool, limits Limits) (afl.FlightServiceClient, *loopback) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service := &loopback{fail: make(chan error, 1)}
	server := grpc.NewServer(grpc.ForceServerCodecV2(New(limits)), grpc.MaxRecvMsgSize(64<<20))
	afl.RegisterFlightServiceServer(server, service)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	opts := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if own {
		opts = append(opts, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(New(Limits{}))))
	}
	conn, err := grpc.NewClient(listener.Addr().String(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.GracefulStop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		for range 100 { // what a stream that ended early left in the transport, the garbage collector finds
			if service.held.Load() == 0 {
				return
			}
			runtime.GC()
		}
		t.Errorf("%d bodies were never released", service.held.Load())
	})
	return afl.NewFlightServiceClient(conn), service
}

func TestGetOverGRPC(t *testing.T) {
	noLeaks(t)
	client, _ := dial(t, true, Limits{})
	stream, err := client.DoGet(context.Background(), &afl.Ticket{Ticket: []byte("t")})
	if err != nil {
		t.Fatal(err)
	}
	var in In
	defer in.Reset()
	for i := 0; ; i++ {
		if err := Recv(stream, &in); errors.Is(err, io.EOF) {
			if i != loopMessages {
				t.Fatalf("%d messages", i)
			}
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if err := check(&in, i); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGetByTheStockClient(t *testing.T) {
	noLeaks(t)
	client, _ := dial(t, false, Limits{})
	stream, err := client.DoGet(context.Background(), &afl.Ticket{Ticket: []byte("t")})
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, loopBody)
	for i := range loopMessages {
		data, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if fill(want, i); !bytes.Equal(data.DataBody, want) {
			t.Fatalf("message %d: another body", i)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

// TestAReaderThatLeavesReleasesAll cancels a read whose messages are still queued in the transport.
func TestAReaderThatLeavesReleasesAll(t *testing.T) {
	noLeaks(t)
	client, _ := dial(t, false, Limits{})
	for range 10 {
		ctx, cancel := context.WithCancel(context.Background())
		stream, err := client.DoGet(ctx, &afl.Ticket{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}

func TestPutOverGRPC(t *testing.T) {
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprintf("own=%v", own), func(t *testing.T) {
			noLeaks(t)
			client, _ := dial(t, own, Limits{Message: 1 << 20, Field: 1 << 16})
			stream, err := client.DoPut(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			body := make([]byte, loopBody)
			for i := range loopMessages {
				fill(body, i)
				header, metadata := fmt.Appendf(nil, "header %d", i), fmt.Appendf(nil, "metadata %d", i)
				if own {
					err = Send(stream, &Out{Header: header, Metadata: metadata, Body: [][]byte{bytes.Clone(body)}})
				} else {
					err = stream.Send(&afl.FlightData{DataHeader: header, AppMetadata: metadata, DataBody: body})
				}
				if err != nil {
					t.Fatal(err)
				}
				if answer, err := stream.Recv(); err != nil || string(answer.AppMetadata) != fmt.Sprintf("answer %d", i) {
					t.Fatal(answer, err)
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		})
	}
}

// TestTooLargeLeavesTheWordToTheHandler: the handler sees the error and can still answer.
func TestTooLargeLeavesTheWordToTheHandler(t *testing.T) {
	noLeaks(t)
	client, service := dial(t, false, Limits{Message: 1 << 20})
	stream, err := client.DoPut(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&afl.FlightData{DataBody: make([]byte, 1<<20)}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var tooLarge *TooLargeError
	if err := <-service.fail; !errors.As(err, &tooLarge) || string(answer.AppMetadata) != err.Error() {
		t.Fatal(err, string(answer.AppMetadata))
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}
