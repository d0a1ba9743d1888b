package flight_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

type Customer struct {
	ID   int64   `arrow:"id"`
	City string  `arrow:"city"`
	Note *string `arrow:"note"`
}

// customers makes a primary-key table with some rows, for the examples.
func customers(ctx context.Context, client *flight.Client, table string) {
	if _, err := client.CreateTable(ctx, flight.TableCreate{
		Table: flight.Named(table),
		Schema: flight.SchemaWord{Columns: []quiver.ColumnSpec{
			{Name: "id", Type: "int64", Nullable: new(bool)}, {Name: "city", Type: "string"}, {Name: "note", Type: "string"},
		}},
		PrimaryKey: []string{"id"},
	}); err != nil {
		log.Fatal(err)
	}
	appender, err := client.Append(ctx, table, flight.AppendOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range []Customer{{1, "Oslo", nil}, {2, "Bergen", nil}, {3, "Oslo", new("moved")}} {
		if err := appender.AppendRow(ctx, c); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := appender.Close(ctx); err != nil {
		log.Fatal(err)
	}
}

// Rows are upserted and deleted in the order of the calls, and every change is in the changelog.
func ExampleUpserterOf() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	customers(ctx, client, "upserted")

	appender, err := client.Append(ctx, "upserted", flight.AppendOptions{Writer: "crm"})
	if err != nil {
		log.Fatal(err)
	}
	rows, err := flight.UpserterOf[Customer](ctx, appender)
	if err != nil {
		log.Fatal(err)
	}
	if err := rows.Upsert(ctx, Customer{ID: 2, City: "Tromsø"}); err != nil {
		log.Fatal(err)
	}
	if err := rows.Delete(ctx, Customer{ID: 1}); err != nil {
		log.Fatal(err)
	}
	if _, err := appender.Close(ctx); err != nil { // now both are durable
		log.Fatal(err)
	}

	scanner, err := client.Scan(ctx, flight.ScanCommand{Table: flight.Named("upserted"), Read: flight.ReadLog,
		Columns: []string{"__change_type", "id", "city"}, From: flight.Position{Kind: flight.AtOffset, Offset: 3}})
	if err != nil {
		log.Fatal(err)
	}
	defer scanner.Close()
	for batch, err := range scanner.Batches() {
		if err != nil {
			log.Fatal(err)
		}
		for i := range int(batch.NumRows()) {
			fmt.Println(batch.Column(0).ValueStr(i), batch.Column(1).ValueStr(i), batch.Column(2).ValueStr(i))
		}
	}
	// Output:
	// -U 2 Bergen
	// +U 2 Tromsø
	// -D 1 Oslo
}

// Some columns of rows are changed; the others keep their values.
func ExampleClient_Append_partialUpdate() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	customers(ctx, client, "partial")
	type Note struct {
		ID   int64  `arrow:"id"`
		Text string `arrow:"note"`
	}
	appender, err := client.Append(ctx, "partial", flight.AppendOptions{Columns: []string{"id", "note"}})
	if err != nil {
		log.Fatal(err)
	}
	if err := appender.AppendRow(ctx, Note{1, "called"}); err != nil {
		log.Fatal(err)
	}
	if _, err := appender.Close(ctx); err != nil {
		log.Fatal(err)
	}
	found, err := client.LookupKeys(ctx, flight.LookupCommand{Table: flight.Named("partial"), Keys: []json.RawMessage{[]byte("[1]")}})
	if err != nil {
		log.Fatal(err)
	}
	for _, rows := range found {
		defer rows.Release()
		fmt.Println(rows.Column(2).ValueStr(0), rows.Column(3).ValueStr(0))
	}
	// Output: Oslo called
}

// Many goroutines look rows up over one stream: what they ask for while a request is under way goes together.
func ExampleLookupsOf() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	customers(ctx, client, "looked_up")

	lookuper := client.Lookup("looked_up", flight.LookupOptions{})
	defer lookuper.Close()
	type Key struct {
		ID int64 `arrow:"id"`
	}
	byID, err := flight.LookupsOf[Key, Customer](ctx, lookuper)
	if err != nil {
		log.Fatal(err)
	}
	var cities [5]string
	var wait sync.WaitGroup
	for id := range cities {
		wait.Go(func() {
			customer, found, err := byID.Get(ctx, Key{int64(id)})
			switch {
			case err != nil:
				cities[id] = err.Error()
			case !found:
				cities[id] = "nobody"
			default:
				cities[id] = customer.City
			}
		})
	}
	wait.Wait()
	for id, city := range cities {
		fmt.Println(id, city)
	}
	// Output:
	// 0 nobody
	// 1 Oslo
	// 2 Bergen
	// 3 Oslo
	// 4 nobody
}

// A batch of keys gives the rows that there are, each with the place of its key.
func ExampleLookuper_Find() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	customers(ctx, client, "found")

	keys := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil))
	defer keys.Release()
	keys.Field(0).(*array.Int64Builder).AppendValues([]int64{3, 99, 2}, nil)
	batch := keys.NewRecordBatch()
	defer batch.Release()

	lookuper := client.Lookup("found", flight.LookupOptions{Columns: []string{"city", "__offset"}})
	defer lookuper.Close()
	rows, err := lookuper.Find(ctx, batch)
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Release()
	for i := range int(rows.NumRows()) {
		fmt.Println("key", rows.Column(0).ValueStr(i), "is", rows.Column(1).ValueStr(i), "version", rows.Column(2).ValueStr(i))
	}
	// Output:
	// key 0 is Oslo version 2
	// key 2 is Bergen version 1
}

// The table as it is, then every change from exactly there.
func ExampleClient_Scan_tableAndLog() {
	ctx := context.Background()
	client, err := flight.Dial(address(), flight.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	customers(ctx, client, "followed")
	scanner, err := client.Scan(ctx, flight.ScanCommand{Table: flight.Named("followed"), Read: flight.ReadTableLog,
		Columns: []string{"__change_type", "id", "city"}, Follow: true, Limit: new(int64(4))})
	if err != nil {
		log.Fatal(err)
	}
	defer scanner.Close()
	for scanner.Next() {
		batch := scanner.Batch()
		for i := range int(batch.NumRows()) {
			fmt.Println(batch.Column(0).ValueStr(i), batch.Column(1).ValueStr(i), batch.Column(2).ValueStr(i))
		}
		if scanner.Info().Phase == flight.PhaseLog { // that was the table; now somebody changes it
			appender, err := client.Append(ctx, "followed", flight.AppendOptions{})
			if err != nil {
				log.Fatal(err)
			}
			if err := appender.AppendRow(ctx, Customer{4, "Bodø", nil}); err != nil {
				log.Fatal(err)
			}
			if _, err := appender.Close(ctx); err != nil {
				log.Fatal(err)
			}
		}
	}
	if err := scanner.Err(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// +I 1 Oslo
	// +I 2 Bergen
	// +I 3 Oslo
	// +I 4 Bodø
}
