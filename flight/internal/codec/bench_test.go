package codec

import (
	"testing"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/quiverlog/quiver/internal/buf"
)

var benchSizes = []struct {
	name string
	body int
}{{"1KiB", 1 << 10}, {"64KiB", 64 << 10}, {"3MiB", 3 << 20}}

func BenchmarkMarshal(b *testing.B) {
	header, metadata := make([]byte, 600), make([]byte, 120)
	for _, size := range benchSizes {
		body := make([]byte, size.body)
		parts := [][]byte{body[:len(body)/2], body[len(body)/2:]}
		b.Run("ours/"+size.name, func(b *testing.B) {
			c := New(Limits{})
			b.SetBytes(int64(size.body))
			b.ReportAllocs()
			for b.Loop() {
				data, err := c.Marshal(&Out{Header: header, Metadata: metadata, Body: parts})
				if err != nil {
					b.Fatal(err)
				}
				data.Free()
			}
		})
		b.Run("stock/"+size.name, func(b *testing.B) {
			c := encoding.GetCodecV2("proto")
			b.SetBytes(int64(size.body))
			b.ReportAllocs()
			for b.Loop() {
				data, err := c.Marshal(&afl.FlightData{DataHeader: header, AppMetadata: metadata, DataBody: body})
				if err != nil {
					b.Fatal(err)
				}
				data.Free()
			}
		})
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	buf.SetPoison(false) // poison never uses memory twice
	defer buf.SetPoison(true)
	for _, size := range benchSizes {
		wire := mustMarshal(&afl.FlightData{DataHeader: make([]byte, 600), AppMetadata: make([]byte, 120), DataBody: make([]byte, size.body)})
		var chunks mem.BufferSlice
		for rest := wire; len(rest) > 0; {
			n := min(len(rest), 16<<10)
			chunks = append(chunks, mem.SliceBuffer(rest[:n]))
			rest = rest[n:]
		}
		b.Run("ours/"+size.name, func(b *testing.B) {
			c := New(Limits{})
			var in In
			b.SetBytes(int64(size.body))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Unmarshal(chunks, &in); err != nil || in.Err != nil {
					b.Fatal(err, in.Err)
				}
				in.Reset()
			}
		})
		b.Run("stock/"+size.name, func(b *testing.B) {
			c := encoding.GetCodecV2("proto")
			b.SetBytes(int64(size.body))
			b.ReportAllocs()
			for b.Loop() {
				var data afl.FlightData
				if err := c.Unmarshal(chunks, &data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
