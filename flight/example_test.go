package flight_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/node"
)

// server runs a node in this process, for the examples; address gives where, and starts it.
var server struct {
	once sync.Once
	addr string
	stop func() error
}

func address() string {
	server.once.Do(func() {
		n, err := node.Open(node.Options{Memory: true, FlightAddr: "127.0.0.1:0", CreateTables: true, DiskReserve: -1})
		if err != nil {
			log.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		server.addr = n.FlightAddr()
		server.stop = func() error { cancel(); return errors.Join(<-ended, n.Close()) }
	})
	return server.addr
}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.stop != nil {
		if err := server.stop(); err != nil {
			log.Println(err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		log.Println(err)
		code = 1
	}
	os.Exit(code)
}

func ExampleDial() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{}) // "127.0.0.1:8815"
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	table, err := client.CreateTable(ctx, flight.TableCreate{
		Table: flight.Named("orders"),
		Schema: flight.SchemaWord{Columns: []quiver.ColumnSpec{
			{Name: "id", Type: "int64"}, {Name: "price", Type: "decimal128(12, 2)"}, {Name: "note", Type: "string"},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, column := range table.Columns {
		fmt.Println(column.Name, column.Type)
	}
	// Output:
	// id int64
	// price decimal128(12, 2)
	// note string
}

func ExampleClient_Append() {
	type Reading struct {
		Sensor string  `arrow:"sensor"`
		Value  float64 `arrow:"value"`
		Note   *string `arrow:"note"` // nil is null
	}
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	appender, err := client.Append(ctx, "readings", flight.AppendOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 1000 {
		if err := appender.AppendRow(ctx, &Reading{Sensor: "north", Value: float64(i) / 10}); err != nil {
			log.Fatal(err)
		}
	}
	totals, err := appender.Close(ctx) // returns once everything is durable
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(totals.Rows, "rows, up to offset", totals.Ranges[0].Until)
	// Output: 1000 rows, up to offset 1000
}

func ExampleRowsOf() {
	type Point struct{ X, Y int32 }
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	appender, err := client.Append(ctx, "points", flight.AppendOptions{})
	if err != nil {
		log.Fatal(err)
	}
	points, err := flight.RowsOf[Point](ctx, appender)
	if err != nil {
		log.Fatal(err)
	}
	for i := range int32(3) {
		if err := points.Append(ctx, Point{X: i, Y: i * i}); err != nil {
			log.Fatal(err)
		}
	}
	totals, err := appender.Close(ctx)
	fmt.Println(totals.Rows, err)
	// Output: 3 <nil>
}

func ExampleAppender_Append() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	builder.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 2, 3}, nil)
	batch := builder.NewRecordBatch()
	defer batch.Release()

	appender, err := client.Append(ctx, "numbers", flight.AppendOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if err := appender.Append(ctx, batch); err != nil {
		log.Fatal(err)
	}
	totals, err := appender.Close(ctx)
	fmt.Println(totals.Batches, totals.Rows, err)
	// Output: 1 3 <nil>
}

// A loader that died goes on from the sequence that it noted last, with the same batches: what was stored already is
// recognised. Batches are the same again if only their size cuts them, not the time (Linger).
func ExampleClient_Append_exactlyOnce() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	type Line struct{ Text string }
	input := []string{"a", "b", "c", "d", "e", "f"}
	const batch = 2

	load := func(from quiver.Sequence, lines []string) flight.AppendTotals {
		appender, err := client.Append(ctx, "lines", flight.AppendOptions{
			Writer: "loader-7", Sequence: &from, BatchRows: batch, Linger: -1,
		})
		if err != nil {
			log.Fatal(err)
		}
		for _, text := range lines[int(from)*batch:] {
			if err := appender.AppendRow(ctx, Line{text}); err != nil {
				log.Fatal(err)
			}
		}
		totals, err := appender.Close(ctx)
		if err != nil {
			log.Fatal(err)
		}
		return totals
	}
	noted := quiver.Sequence(0) // in a file, of a real loader
	load(noted, input[:4])      // and here it dies, before it notes anything
	totals := load(noted, input)
	fmt.Println(totals.Batches, "batches,", totals.Duplicates, "of them were there already")
	// Output: 3 batches, 2 of them were there already
}

func ExampleClient_Scan() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	type Sale struct {
		City  string `arrow:"city"`
		Price int32  `arrow:"price"`
	}
	appender, err := client.Append(ctx, "sales", flight.AppendOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, sale := range []Sale{{"Oslo", 5}, {"Bergen", 50}, {"Oslo", 500}} {
		if err := appender.AppendRow(ctx, sale); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := appender.Close(ctx); err != nil {
		log.Fatal(err)
	}

	scanner, err := client.Scan(ctx, flight.ScanCommand{
		Table:         flight.Named("sales"),
		Columns:       []string{"city"},
		SystemColumns: []string{"__offset"},
		Filter:        new("price >= 50"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer scanner.Close()
	for batch, err := range scanner.Batches() {
		if err != nil {
			log.Fatal(err)
		}
		for i := range int(batch.NumRows()) {
			fmt.Println(batch.Column(0).ValueStr(i), "at offset", batch.Column(1).ValueStr(i))
		}
	}
	// Output:
	// Bergen at offset 1
	// Oslo at offset 2
}

// A follower takes its place with it, to go on later where it stopped.
func ExampleScanner_Position() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	type Step struct{ N int64 }
	appender, err := client.Append(ctx, "steps", flight.AppendOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer appender.Close(ctx)
	var place flight.Position // not given: from the earliest row
	for round := range int64(2) {
		if err := appender.AppendRow(ctx, Step{round}); err != nil {
			log.Fatal(err)
		}
		if _, err := appender.Flush(ctx); err != nil {
			log.Fatal(err)
		}
		scanner, err := client.Scan(ctx, flight.ScanCommand{Table: flight.Named("steps"), From: place, Follow: true, Limit: new(int64(1))})
		if err != nil {
			log.Fatal(err)
		}
		for scanner.Next() {
			if rows := scanner.Batch(); rows.NumRows() > 0 { // without rows it only says that the stream lives
				fmt.Println("step", rows.Column(0).ValueStr(0))
			}
		}
		if err := scanner.Err(); err != nil {
			log.Fatal(err)
		}
		place = scanner.Position()
		scanner.Close()
	}
	text, _ := place.MarshalJSON()
	fmt.Println(string(text))
	// Output:
	// step 0
	// step 1
	// {"offsets":{"0":2}}
}

func ExampleDo() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	_, err = flight.Do[map[string]any](ctx, client, "table.describe", map[string]string{"table": "shop.nothing"})
	var refused *quiver.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Reason, "-", refused.Outcome)
	}
	// Output: DATABASE_NOT_FOUND - not done
}
