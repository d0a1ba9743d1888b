package flight

import "github.com/quiverlog/quiver"

// The names of the actions on partitions.
const (
	ActionPartitionCreate = "partition.create"
	ActionPartitionDrop   = "partition.drop"
	ActionPartitionList   = "partition.list"
)

// PartitionCreate is the body of partition.create. Its result is a PartitionRow.
type PartitionCreate struct {
	Table       TableName       `json:"table"`
	TableID     *quiver.TableID `json:"table_id,omitzero"`
	Partition   string          `json:"partition"`
	IfNotExists bool            `json:"if_not_exists,omitzero"`
}

func (r *PartitionCreate) check() error { return needPartition(r.Table, r.Partition) }

func needPartition(table TableName, partition string) error {
	if err := needTable(table); err != nil {
		return err
	}
	if partition == "" {
		return quiver.Errorf(quiver.BadCommand, "the body names no partition").On("table " + table.String()).
			Advise(`send {"table":"shop.orders","partition":"dt=2026-11-22"}`)
	}
	return nil
}

// PartitionDrop is the body of partition.drop. Its result is Dropped.
type PartitionDrop struct {
	Table     TableName       `json:"table"`
	TableID   *quiver.TableID `json:"table_id,omitzero"`
	Partition string          `json:"partition"`
	IfExists  bool            `json:"if_exists,omitzero"`
}

func (r *PartitionDrop) check() error { return needPartition(r.Table, r.Partition) }

// PartitionList is the body of partition.list.
type PartitionList struct {
	Table   TableName       `json:"table"`
	TableID *quiver.TableID `json:"table_id,omitzero"`
}

func (r *PartitionList) check() error { return needTable(r.Table) }

// PartitionRow is one result of partition.list, and the result of partition.create.
type PartitionRow struct {
	Partition   string             `json:"partition"`
	PartitionID quiver.PartitionID `json:"partition_id"`
	Created     int64              `json:"created"` // Unix milliseconds
}

// NewPartitionRow shows a partition.
func NewPartitionRow(p quiver.Partition) PartitionRow {
	return PartitionRow{Partition: p.Name, PartitionID: p.ID, Created: p.Created}
}
