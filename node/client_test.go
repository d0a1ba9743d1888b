package node

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fs"
)

// dial connects our own client to a node.
func dial(t testing.TB, r *running, o flight.ClientOptions) *flight.Client {
	t.Helper()
	c, err := flight.Dial(r.FlightAddr(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestClientAppendsAndScans(t *testing.T) {
	c := dial(t, start(t, fs.NewMem()), flight.ClientOptions{})
	created, err := c.CreateTable(t.Context(), flight.TableCreate{Table: flight.Named("events"), Schema: flight.SchemaWord{
		Columns: []quiver.ColumnSpec{{Name: "n", Type: "int64"}, {Name: "text", Type: "string"}}}})
	if err != nil || created.Table != "default.events" {
		t.Fatal(created, err)
	}
	a, err := c.Append(t.Context(), "events", flight.AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(10) {
		if err := a.Append(t.Context(), rows(10*i, 10*i+10)); err != nil {
			t.Fatal(err)
		}
	}
	totals, err := a.Close(t.Context())
	if err != nil || totals.Batches != 10 || totals.Rows != 100 || totals.Sequence != 9 || len(totals.Ranges) != 1 {
		t.Fatalf("%+v, %v", totals, err)
	}
	s, err := c.Scan(t.Context(), flight.ScanCommand{Table: flight.Named("events")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	next := int64(0)
	for batch, err := range s.Batches() {
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range batch.Column(0).(*array.Int64).Int64Values() {
			if n != next {
				t.Fatalf("row %d is %d", next, n)
			}
			next++
		}
	}
	if next != 100 || s.Position().Offsets.Buckets[0] != 100 {
		t.Errorf("%d rows, up to %v", next, s.Position())
	}
}
