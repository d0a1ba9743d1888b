package coordinator

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

// TestDropLeavesATombstoneOnly: everything in the store that belongs to a table goes with it.
func TestDropLeavesATombstoneOnly(t *testing.T) {
	s := metastore.NewMemory()
	c := open(t, s, Options{})
	keys := func() (all []string) {
		t.Helper()
		if _, err := s.Range(t.Context(), "", func(e metastore.Entry) error {
			all = append(all, e.Key)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := keys()
	made, err := c.CreateTable(t.Context(), quiver.TableSpec{
		Database: "default", Name: "orders", PrimaryKey: []string{"day", "id"}, PartitionBy: []string{"day"}, Options: map[string]string{"auto-increment": "number"},
		Schema: arrow.NewSchema([]arrow.Field{
			{Name: "day", Type: arrow.BinaryTypes.String}, {Name: "id", Type: arrow.PrimitiveTypes.Int64},
			{Name: "number", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		}, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	days, _, err := c.CreatePartitions(t.Context(), made.ID, []string{"day=1", "day=2"}, false)
	if err != nil {
		t.Fatal(err)
	}
	bucket := quiver.BucketID{Table: made.ID, Partition: days[0].ID}
	_, elected := c.Elect(t.Context(), bucket)
	_, numbered := c.ReserveNumbers(t.Context(), made.ID, 10)
	_, committed := c.CommitCursor(t.Context(), CommitCursor{Table: made.ID, Name: "job", Offsets: Vector{days[1].ID: {0: 3}}})
	_, dropped := c.DropPartition(t.Context(), made.ID, "day=1", false)
	if err := errors.Join(elected, numbered, committed, dropped); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DropTable(t.Context(), "default", "orders", false); err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(keys(), func(key string) bool {
		return slices.Contains(before, key) || strings.HasPrefix(key, droppedPrefix)
	})
	if len(left) > 0 {
		t.Errorf("of a dropped table are left: %v", left)
	}
}
