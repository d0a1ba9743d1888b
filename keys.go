package quiver

// MaxKeyColumns is the most columns that a bucket key may have, and the most to partition by.
const MaxKeyColumns = 16

// setKeys sets what decides a row's bucket and partition. All that is wrong is named at once: BAD_COMMAND.
//
// Both hold top-level columns of key types, each once. A column may be in both, though a bucket key that is no more
// than partition columns puts every partition into one bucket; so it must have another column.
func (t *Table) setKeys(bucketKey, partitionBy []string) error {
	var faults faultList
	t.BucketKey = t.keyColumns("bucket_key", bucketKey, &faults)
	t.PartitionBy = t.keyColumns("partition_by", partitionBy, &faults)
	if len(faults.texts) == 0 && len(t.BucketKey) > 0 && len(t.PartitionBy) > 0 && subset(t.BucketKey, t.PartitionBy) {
		faults.add("bucket_key: every row of a partition has the same, so all would be in one bucket; take another column")
	}
	return faults.error(BadCommand)
}

// keyColumns finds the columns of one key.
func (t *Table) keyColumns(key string, names []string, faults *faultList) []ColumnID {
	if len(names) > MaxKeyColumns {
		faults.add("%s: it has %d columns, at most %d are taken", key, len(names), MaxKeyColumns)
		return nil
	}
	var ids []ColumnID
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		c, ok := t.Schema.ByName(name)
		switch {
		case !ok:
			faults.add("%s: there is no column %s%s", key, quote(name), suggest(name, t.Schema.Names()))
		case seen[name]:
			faults.add("%s: column %s is there twice", key, quote(name))
		case !IsKeyType(c.Field.Type):
			faults.add("%s: column %s has type %s; a key takes integers, bool, string, binary, decimal, date, time and timestamp",
				key, quote(name), shortType(c.Field.Type))
		default:
			ids = append(ids, c.ID)
		}
		seen[name] = true
	}
	return ids
}

func subset(some, of []ColumnID) bool {
	in := make(map[ColumnID]bool, len(of))
	for _, id := range of {
		in[id] = true
	}
	for _, id := range some {
		if !in[id] {
			return false
		}
	}
	return true
}

// ColumnNames gives the names of columns, in the same order.
func (t *Table) ColumnNames(ids []ColumnID) []string {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		if c, ok := t.Schema.Column(id); ok {
			names = append(names, c.Field.Name)
		}
	}
	return names
}
