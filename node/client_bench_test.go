package node

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fs"
)

// bidRow is a row of about 100 bytes.
type bidRow struct {
	Auction int64     `arrow:"auction"`
	Bidder  int64     `arrow:"bidder"`
	Price   int64     `arrow:"price"`
	Channel string    `arrow:"channel"`
	URL     string    `arrow:"url"`
	At      time.Time `arrow:"at"`
}

func bidOf(n int64) bidRow {
	return bidRow{n % 1000, n % 777, n * 31 % 10_000, "channel-7", fmt.Sprintf("https://www.nexmark.com/item.htm?query=%d", n), time.Unix(1_700_000_000+n, 0)}
}

// bidBatches are batches of bids, of about 2 MiB each, and their bytes.
func bidBatches(b *testing.B, batches, rows int) (all []arrow.RecordBatch, bytes int64) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "auction", Type: arrow.PrimitiveTypes.Int64}, {Name: "bidder", Type: arrow.PrimitiveTypes.Int64},
		{Name: "price", Type: arrow.PrimitiveTypes.Int64}, {Name: "channel", Type: arrow.BinaryTypes.String},
		{Name: "url", Type: arrow.BinaryTypes.String}, {Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us},
	}, nil)
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	for range batches {
		for n := range int64(rows) {
			bid := bidOf(n)
			builder.Field(0).(*array.Int64Builder).Append(bid.Auction)
			builder.Field(1).(*array.Int64Builder).Append(bid.Bidder)
			builder.Field(2).(*array.Int64Builder).Append(bid.Price)
			builder.Field(3).(*array.StringBuilder).Append(bid.Channel)
			builder.Field(4).(*array.StringBuilder).Append(bid.URL)
			builder.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(bid.At.UnixMicro()))
			bytes += int64(4*8 + 2*4 + len(bid.Channel) + len(bid.URL))
		}
		all = append(all, builder.NewRecordBatch())
	}
	return all, bytes
}

// cpuPerGB reports the CPU time of the whole process, client and server, which a busy machine does not change much.
func cpuPerGB(b *testing.B, bytes int64) {
	before := cpuTime(b)
	b.Cleanup(func() { b.ReportMetric((cpuTime(b)-before).Seconds()/(float64(bytes)*float64(b.N)/1e9), "cpu-s/GB") })
}

func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// stockClient is arrow-go's own client, with the one option that reading large batches needs.
func stockClient(b *testing.B, r *running) afl.Client {
	c, err := afl.NewClientWithMiddleware(r.FlightAddr(), nil, nil,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(512<<20)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// BenchmarkClientScan reads 64 MiB of bids from a node in the same process: "stock" with arrow-go's client.
func BenchmarkClientScan(b *testing.B) {
	r := start(b, fs.NewMem())
	c := dial(b, r, flight.ClientOptions{})
	batches, bytes := bidBatches(b, 32, 20_000)
	a, err := c.Append(b.Context(), "bids", flight.AppendOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, batch := range batches {
		if err := a.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := a.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	const want = 32 * 20_000
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(bytes)
		cpuPerGB(b, bytes)
		b.ReportAllocs()
		for b.Loop() {
			s, err := c.Scan(b.Context(), flight.ScanCommand{Table: flight.Named("bids")})
			if err != nil {
				b.Fatal(err)
			}
			rows := int64(0)
			for s.Next() {
				rows += s.Batch().NumRows()
			}
			s.Close()
			if s.Err() != nil || rows != want {
				b.Fatal(rows, s.Err())
			}
		}
	})
	b.Run("stock", func(b *testing.B) {
		stock := stockClient(b, r)
		b.SetBytes(bytes)
		cpuPerGB(b, bytes)
		b.ReportAllocs()
		for b.Loop() {
			stream, err := stock.DoGet(b.Context(), &afl.Ticket{Ticket: []byte(`{"table":"bids"}`)})
			if err != nil {
				b.Fatal(err)
			}
			reader, err := afl.NewRecordReader(stream)
			if err != nil {
				b.Fatal(err)
			}
			rows := int64(0)
			for reader.Next() {
				rows += reader.RecordBatch().NumRows()
			}
			reader.Release()
			if reader.Err() != nil || rows != want {
				b.Fatal(rows, reader.Err())
			}
		}
	})
}

// BenchmarkClientAppend appends 16 MiB of bids and waits until they are acknowledged.
func BenchmarkClientAppend(b *testing.B) {
	r := start(b, fs.NewMem())
	c := dial(b, r, flight.ClientOptions{})
	batches, bytes := bidBatches(b, 8, 20_000)
	clean := func() {
		if _, err := c.DropTable(b.Context(), flight.TableDrop{Table: flight.Named("bids"), IfExists: true}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(bytes)
		cpuPerGB(b, bytes)
		for b.Loop() {
			a, err := c.Append(b.Context(), "bids", flight.AppendOptions{})
			if err != nil {
				b.Fatal(err)
			}
			for _, batch := range batches {
				if err := a.Append(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := a.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			clean()
			b.StartTimer()
		}
	})
	b.Run("stock", func(b *testing.B) {
		stock := stockClient(b, r)
		b.SetBytes(bytes)
		cpuPerGB(b, bytes)
		for b.Loop() {
			stream, err := stock.DoPut(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			w := afl.NewRecordWriter(stream, aipc.WithSchema(batches[0].Schema()))
			w.SetFlightDescriptor(&afl.FlightDescriptor{Type: afl.DescriptorPATH, Path: []string{"default", "bids"}})
			for _, batch := range batches {
				if err := w.Write(batch); err != nil {
					b.Fatal(err)
				}
			}
			if err := errors.Join(w.Close(), stream.CloseSend()); err != nil {
				b.Fatal(err)
			}
			for {
				if _, err := stream.Recv(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			clean()
			b.StartTimer()
		}
	})
}

// BenchmarkClientRows appends Go structs, one after the other, over the connection; the end of each run waits until all
// of them are acknowledged.
func BenchmarkClientRows(b *testing.B) {
	c := dial(b, start(b, fs.NewMem()), flight.ClientOptions{})
	a, err := c.Append(b.Context(), "bids", flight.AppendOptions{})
	if err != nil {
		b.Fatal(err)
	}
	bids, err := flight.RowsOf[bidRow](b.Context(), a)
	if err != nil {
		b.Fatal(err)
	}
	bid := bidOf(7)
	b.ReportAllocs()
	for b.Loop() {
		if err := bids.Append(b.Context(), bid); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := a.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
