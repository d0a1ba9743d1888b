package quiver

import (
	"slices"
	"strings"
)

// Partition is one partition of a table: all rows with the same values in the partition columns.
type Partition struct {
	ID      PartitionID // from 1; 0 is the one partition of unpartitioned tables
	Name    string      // canonical: "dt=2026-11-22/region=eu"
	Created int64       // Unix milliseconds
}

// Partitioned says that the table's rows are divided into partitions.
func (t *Table) Partitioned() bool { return len(t.PartitionBy) > 0 }

// Partition gives a partition by its canonical name.
func (t *Table) Partition(name string) (Partition, bool) {
	i, ok := slices.BinarySearchFunc(t.Partitions, name, func(p Partition, name string) int { return strings.Compare(p.Name, name) })
	if !ok {
		return Partition{}, false
	}
	return t.Partitions[i], true
}
