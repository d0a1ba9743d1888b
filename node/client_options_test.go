package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fs"
)

// scanAll reads what a command gives, as JSON lines.
func scanAll(t testing.TB, c *flight.Client, command flight.ScanCommand) (rows []string) {
	t.Helper()
	s, err := c.Scan(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for batch, err := range s.Batches() {
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch.NumRows() {
			row := batch.NewSlice(i, i+1)
			text, err := row.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, string(text[1:len(text)-2]))
			row.Release()
		}
	}
	return rows
}

// TestClientEncodings appends what clients may have: compressed bodies, dictionaries that change, slices, batches
// without rows, another schema in between. Memory of the program's own allocator is given back.
func TestClientEncodings(t *testing.T) {
	r := start(t, fs.NewMem())
	for _, compression := range []string{"", "lz4", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			c := dial(t, r, flight.ClientOptions{Allocator: mem})
			table := "words" + compression
			dictionary := arrow.NewSchema([]arrow.Field{{Name: "word", Nullable: true,
				Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}}}, nil)
			plain := arrow.NewSchema([]arrow.Field{{Name: "word", Type: arrow.BinaryTypes.LargeString, Nullable: true}}, nil)
			batch := func(schema *arrow.Schema, rows ...string) arrow.RecordBatch {
				b := array.NewRecordBuilder(mem, schema)
				defer b.Release()
				for _, row := range rows {
					if err := b.UnmarshalJSON([]byte(row)); err != nil {
						t.Fatal(err)
					}
				}
				return b.NewRecordBatch()
			}
			first := batch(plain, `{"word":"no"}`, `{"word":"one"}`, `{"word":null}`)
			batches := []arrow.RecordBatch{
				first.NewSlice(1, 3), first.NewSlice(0, 0),
				batch(dictionary, `{"word":"two"}`, `{"word":null}`, `{"word":"two"}`),
				batch(dictionary, `{"word":"three"}`),
				batch(plain, `{"word":"four"}`),
			}
			first.Release()
			a, err := c.Append(t.Context(), table, flight.AppendOptions{Compression: compression})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range batches {
				if err := a.Append(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				b.Release()
			}
			totals, err := a.Close(t.Context())
			if err != nil || totals.Batches != 5 || totals.Rows != 7 || totals.Sequence != 4 {
				t.Fatalf("%+v, %v", totals, err)
			}
			want := []string{`{"word":"one"}`, `{"word":null}`, `{"word":"two"}`, `{"word":null}`, `{"word":"two"}`, `{"word":"three"}`, `{"word":"four"}`}
			if got := scanAll(t, c, flight.ScanCommand{Table: flight.Named(table)}); !slices.Equal(got, want) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestClientPartitions: rows of one partition, positions with partitions in them, plans.
func TestClientPartitions(t *testing.T) {
	c := dial(t, start(t, fs.NewMem()), flight.ClientOptions{})
	ctx := t.Context()
	if _, err := c.CreateTable(ctx, flight.TableCreate{Table: flight.Named("visits"), PartitionBy: []string{"city"}, Buckets: new(int32(2)),
		Schema: flight.SchemaWord{Columns: []quiver.ColumnSpec{{Name: "city", Type: "string"}, {Name: "n", Type: "int64"}}}}); err != nil {
		t.Fatal(err)
	}
	type visit struct {
		N int64 `arrow:"n"`
	}
	for _, city := range []string{"city=Oslo", "city=Bergen"} {
		a, err := c.Append(ctx, "visits", flight.AppendOptions{Partition: city, Linger: -1, BatchRows: 5})
		if err != nil {
			t.Fatal(err)
		}
		for n := range int64(20) {
			if err := a.AppendRow(ctx, visit{n}); err != nil {
				t.Fatal(err)
			}
		}
		totals, err := a.Close(ctx)
		if err != nil || totals.Rows != 20 || len(totals.Ranges) != 2 || totals.Ranges[0].Partition != city {
			t.Fatalf("%+v, %v", totals, err)
		}
	}
	partitions, err := c.Partitions(ctx, "visits")
	if err != nil || len(partitions) != 2 {
		t.Fatal(partitions, err)
	}

	s, err := c.Scan(ctx, flight.ScanCommand{Table: flight.Named("visits"), Limit: new(int64(13))})
	if err != nil {
		t.Fatal(err)
	}
	seen := int64(0)
	for s.Next() {
		seen += s.Batch().NumRows()
	}
	s.Close()
	if s.Err() != nil || seen != 13 {
		t.Fatal(seen, s.Err())
	}
	rest := scanAll(t, c, flight.ScanCommand{Table: flight.Named("visits"), From: s.Position()})
	if len(rest) != 40-13 {
		t.Errorf("%d rows are left behind 13 of 40", len(rest))
	}

	plan, err := c.Plan(ctx, flight.ScanCommand{Table: flight.Named("visits"), Columns: []string{"n"}})
	if err != nil || plan.Rows != 40 || len(plan.Parts) != 4 || plan.Schema.NumFields() != 1 {
		t.Fatalf("%+v, %v", plan, err)
	}
	planned := 0
	for _, part := range plan.Parts {
		planned += len(scanAll(t, c, part.Scan))
	}
	if planned != 40 {
		t.Errorf("the parts of the plan have %d rows", planned)
	}
	if dropped, err := c.DropPartition(ctx, flight.PartitionDrop{Table: flight.Named("visits"), Partition: "city=Oslo"}); err != nil || !dropped {
		t.Error(dropped, err)
	}
	if left := scanAll(t, c, flight.ScanCommand{Table: flight.Named("visits"), Columns: []string{}}); len(left) != 20 {
		t.Errorf("%d rows are left", len(left))
	}
}

// TestClientLingers: a row that nobody follows goes out by itself.
func TestClientLingers(t *testing.T) {
	c := dial(t, start(t, fs.NewMem()), flight.ClientOptions{})
	ctx := t.Context()
	makeTable(t, c, "events", 1)
	a, err := c.Append(ctx, "events", flight.AppendOptions{Linger: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = a.Close(ctx) }()
	type event struct {
		N int64 `arrow:"n"`
	}
	if err := a.AppendRow(ctx, event{0}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Scan(ctx, flight.ScanCommand{Table: flight.Named("events"), Follow: true, Limit: new(int64(1))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows := int64(0)
	for s.Next() {
		rows += s.Batch().NumRows()
	}
	if s.Err() != nil || rows != 1 {
		t.Error(rows, s.Err())
	}
}

// TestClientClosed: a closed appender takes nothing, keeps nothing, and says the same as before.
func TestClientClosed(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	c := dial(t, start(t, fs.NewMem()), flight.ClientOptions{Allocator: mem})
	ctx := t.Context()
	makeTable(t, c, "events", 1)
	a, err := c.Append(ctx, "events", flight.AppendOptions{Linger: -1})
	if err != nil {
		t.Fatal(err)
	}
	type event struct {
		N    int64  `arrow:"n"`
		Text string `arrow:"text"`
	}
	for _, e := range []event{{0, "fits"}, {1, "\xff"}, {1, "fits, too"}} {
		if err := a.AppendRow(ctx, e); (err != nil) != (e.Text == "\xff") {
			t.Fatal(err)
		}
	}
	for range 2 {
		if totals, err := a.Close(ctx); err != nil || totals.Rows != 2 {
			t.Fatalf("%+v, %v", totals, err)
		}
	}
	b := array.NewRecordBuilder(mem, numbers)
	b.Field(0).(*array.Int64Builder).Append(7)
	b.Field(1).AppendNull()
	batch := b.NewRecordBatch()
	b.Release()
	if err := a.Append(ctx, batch); quiver.ReasonOf(err) != quiver.BadCommand {
		t.Error(err)
	}
	batch.Release()
	if err := a.AppendRow(ctx, event{}); quiver.ReasonOf(err) != quiver.BadCommand {
		t.Error(err)
	}
	wantUpTo(t, numbersOf(t, c, "events"), 2)
}

// TestClientAdministers walks through the actions that have a method and were not called elsewhere.
func TestClientAdministers(t *testing.T) {
	c := dial(t, start(t, fs.NewMem()), flight.ClientOptions{})
	ctx := t.Context()
	must := func(what any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(what, err)
		}
	}
	must(c.CreateDatabase(ctx, flight.DatabaseCreate{Database: "shop", Comment: "wares"}))
	must(c.AlterDatabase(ctx, flight.DatabaseAlter{Database: "shop", Set: map[string]string{"owner": "sales"}}))
	described, err := c.DescribeDatabase(ctx, "shop")
	if err != nil || described.Properties["owner"] != "sales" {
		t.Error(described, err)
	}
	databases, err := c.Databases(ctx)
	if err != nil || len(databases) != 2 {
		t.Error(databases, err)
	}
	makeTable(t, c, "shop.orders", 2)
	altered, err := c.AlterTable(ctx, flight.TableAlter{Table: flight.Named("shop.orders"), Changes: []flight.TableChange{
		{Rename: &quiver.RenameColumn{From: "text", To: "note"}}}})
	if err != nil || altered.Columns[1].Name != "note" {
		t.Error(altered, err)
	}
	schema, err := c.TableSchema(ctx, "shop.orders")
	if err != nil || schema.Field(1).Name != "note" {
		t.Error(schema, err)
	}
	offsets, err := c.Offsets(ctx, "shop.orders", flight.Position{})
	if err != nil || len(offsets) != 2 {
		t.Error(offsets, err)
	}
	stats, err := c.TableStats(ctx, "shop.orders")
	if err != nil || len(stats) != 3 || !stats[2].Total {
		t.Error(stats, err)
	}
	row, err := c.CommitCursor(ctx, flight.CursorCommit{Cursor: "job", Table: flight.Named("shop.orders"),
		Offsets: flight.Offsets{Buckets: flight.BucketOffsets{0: 0}}})
	if err != nil || row.Cursor != "job" {
		t.Error(row, err)
	}
	must(c.ResetCursor(ctx, flight.CursorReset{Cursor: "job", Table: flight.Named("shop.orders"), To: flight.Position{Kind: flight.Latest}}))
	cursors, err := c.Cursors(ctx, "shop.orders")
	if err != nil || len(cursors) != 1 || cursors[0].LagRows == nil || *cursors[0].LagRows != 0 {
		t.Error(cursors, err)
	}
	news, err := c.Wait(ctx, flight.LogWait{Table: flight.Named("shop.orders"), TimeoutMS: new(int64(1))})
	if err != nil || len(news) != 0 {
		t.Error(news, err)
	}
	must(c.DeleteBefore(ctx, flight.LogDeleteBefore{Table: flight.Named("shop.orders"), Offsets: flight.Offsets{Buckets: flight.BucketOffsets{0: 0}}}))
	if dropped, err := c.DropDatabase(ctx, flight.DatabaseDrop{Database: "shop", Cascade: true}); err != nil || !dropped {
		t.Error(dropped, err)
	}
}

// guarded is a server that lists nothing and keeps what calls carried.
type guarded struct {
	afl.BaseFlightServer
	tokens chan string
}

func (s *guarded) DoAction(_ *afl.Action, stream afl.FlightService_DoActionServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	s.tokens <- md.Get("authorization")[0]
	return nil
}

// TestClientSecurity: TLS by the caller's configuration, the token with every call.
func TestClientSecurity(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &guarded{tokens: make(chan string, 1)}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS13})))
	afl.RegisterFlightServiceServer(g, s)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	defer func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	c := dialTo(t, listener.Addr().String(), flight.ClientOptions{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, Token: "secret"})
	if _, err := c.Tables(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if got := <-s.tokens; got != "Bearer secret" {
		t.Errorf("the token came as %q", got)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stranger := dialTo(t, listener.Addr().String(), flight.ClientOptions{TLS: &tls.Config{MinVersion: tls.VersionTLS13}})
	if _, err := stranger.Tables(ctx, ""); quiver.ReasonOf(err) != quiver.Unreachable {
		t.Errorf("a server with a certificate of nobody's: %v", err)
	}
}

// TestClientManyBuckets puts one batch into so many buckets that they are committed at the same time, twice: the second time their
// files are there.
func TestClientManyBuckets(t *testing.T) {
	c := dial(t, start(t, fs.NewMem()), flight.ClientOptions{})
	ctx := t.Context()
	const buckets, rows = 300, 3000
	if _, err := c.CreateTable(ctx, flight.TableCreate{Table: flight.Named("many"), BucketKey: []string{"n"}, Buckets: new(int32(buckets)),
		Schema: flight.SchemaWord{Columns: []quiver.ColumnSpec{{Name: "n", Type: "int64"}}}}); err != nil {
		t.Fatal(err)
	}
	type row struct {
		N int64 `arrow:"n"`
	}
	a, err := c.Append(ctx, "many", flight.AppendOptions{Linger: -1, BatchRows: rows})
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(2 * rows) {
		if err := a.AppendRow(ctx, row{n}); err != nil {
			t.Fatal(err)
		}
	}
	totals, err := a.Close(ctx)
	if err != nil || totals.Batches != 2 || totals.Rows != 2*rows || len(totals.Ranges) != buckets {
		t.Fatalf("%d rows in %d ranges, %v", totals.Rows, len(totals.Ranges), err)
	}
	s, err := c.Scan(ctx, flight.ScanCommand{Table: flight.Named("many")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	seen := make([]int, 2*rows)
	for batch, err := range s.Batches() {
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range batch.Column(0).(*array.Int64).Int64Values() {
			seen[n]++
		}
	}
	for n, times := range seen {
		if times != 1 {
			t.Errorf("row %d is there %d times", n, times)
		}
	}
}
