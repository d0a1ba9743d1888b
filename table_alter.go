package quiver

import (
	"maps"
	"unicode/utf8"
)

// TableChange is one change of a table; exactly one thing is asked for: a change of its columns, options that are set
// or take their default again, or another comment.
type TableChange struct {
	SchemaChange
	Set     map[string]string
	Reset   []string
	Comment *string
}

// maxChanges bounds the changes of one alteration.
const maxChanges = 4096

// Alter gives the table that changes lead to, applied one after the other, all of them or none; its schema has the
// next id if the columns change. Partitions have the names that the columns give them.
//
// Columns of keys cannot be dropped; options that name a column follow its name, and go with it. All that is wrong is
// named in one error: BAD_COMMAND, BAD_OPTION if it is options only, or BAD_NAME.
func (t *Table) Alter(changes []TableChange) (*Table, error) {
	if len(changes) > maxChanges {
		return nil, Errorf(BadCommand, "there are %d changes, at most %d are taken", len(changes), maxChanges)
	}
	altered := *t
	var faults, optionFaults faultList
	set := t.Options.Map()
	var columns []SchemaChange
	for i, c := range changes {
		other, asked := c.other()
		if asked != 1 {
			faults.add("changes[%d]: it asks for %d things instead of one", i, asked)
		} else if !other {
			columns = append(columns, c.SchemaChange)
			continue
		}
		columns = append(columns, SchemaChange{})
		set = alterOptions(set, c.Set, c.Reset, &optionFaults)
		if c.Comment != nil {
			altered.Comment = *c.Comment
			checkComment(altered.Comment, &faults)
		}
	}
	if err := altered.alterColumns(columns, &faults); err != nil {
		return nil, err
	}
	if err := altered.alterOptions(set, t, len(faults.texts) == 0, &optionFaults); err != nil {
		return nil, err
	}
	if len(faults.texts) > 0 {
		faults.texts = append(faults.texts, optionFaults.texts...)
		return nil, faults.error(BadCommand)
	}
	if err := optionFaults.error(BadOption); err != nil {
		return nil, err
	}
	altered.Partitions = altered.RenamePartitions(t.Partitions)
	return &altered, nil
}

// other counts what a change asks for, and says whether it is something other than columns.
func (c TableChange) other() (other bool, asked int) {
	for _, given := range []bool{c.Set != nil, c.Reset != nil, c.Comment != nil} {
		if given {
			other = true
			asked++
		}
	}
	for _, given := range []bool{c.Add != nil, c.Drop != "", c.Rename != nil, c.Widen != nil, c.Move != nil} {
		if given {
			asked++
		}
	}
	return other, asked
}

func checkComment(comment string, faults *faultList) {
	if len(comment) > maxComment {
		faults.add("comment: it has %d bytes, at most %d are taken", len(comment), maxComment)
	}
	if !utf8.ValidString(comment) {
		faults.add("comment: it is not UTF-8")
	}
}

// alterColumns changes the schema. Changes of another kind are left empty in the list, so that faults name the place.
func (t *Table) alterColumns(changes []SchemaChange, faults *faultList) error {
	keys := make(map[ColumnID]string)
	for _, id := range t.BucketKey {
		keys[id] = "bucket key"
	}
	for _, id := range t.PartitionBy {
		keys[id] = "partition key"
	}
	for _, id := range t.PrimaryKey {
		keys[id] = primaryKeyWord
	}
	schema, err := t.Schema.alter(changes, t.Schema.id+1, keys, faults)
	if err != nil {
		return err
	}
	t.Schema = schema
	return nil
}

// alterOptions takes options over whose columns may have other names by now. They are checked against the columns only
// if these are as they are to be.
func (t *Table) alterOptions(set map[string]string, old *Table, columns bool, faults *faultList) error {
	options := old.Options // also those that another version took
	if !maps.Equal(set, old.Options.set) {
		var err error
		if options, err = parseOptions(set, faults); err != nil {
			return err
		}
	}
	if !columns {
		return nil
	}
	if set["statistics"] == old.Options.set["statistics"] {
		options = options.follow(old.Schema, t.Schema)
	}
	options.followMerging(old, t.Schema)
	t.checkOptions(&options, faults)
	t.Options = options
	return nil
}
