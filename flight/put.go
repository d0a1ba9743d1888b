package flight

import (
	"fmt"
	"math"

	"github.com/quiverlog/quiver"
)

// The values of "op" and "acks".
const (
	OpAppend = "append"
	OpUpsert = "upsert"
	OpDelete = "delete"

	AcksAll    = "all"
	AcksLeader = "leader"
)

// PutCommand says where the batches of a stream go, and how. A nil pointer means that the key was not given.
type PutCommand struct {
	Table        TableName        `json:"put"`
	TableID      *quiver.TableID  `json:"table_id,omitzero"`
	Op           string           `json:"op,omitzero"`
	Columns      []string         `json:"columns,omitzero"`
	WriterID     *quiver.WriterID `json:"writer_id,omitzero"`
	WriterEpoch  quiver.Epoch     `json:"writer_epoch,omitzero"`
	Sequence     *quiver.Sequence `json:"sequence,omitzero"` // of the first batch
	Acks         string           `json:"acks,omitzero"`
	Bucket       *int32           `json:"bucket,omitzero"`
	Partition    string           `json:"partition,omitzero"`     // all rows lie in it, as with a path of three parts
	ExpectOffset *quiver.Offset   `json:"expect_offset,omitzero"` // of the first batch
}

// AsPut gives the put that a descriptor asks for; a path asks for plain appends.
func (d *Descriptor) AsPut() (*PutCommand, error) {
	switch {
	case d.Put != nil:
		return d.Put, nil
	case d.Path != nil:
		return &PutCommand{Table: *d.Path}, nil
	case d.Lookup != nil:
		return nil, quiver.Errorf(quiver.BadCommand, "a lookup command is no put").Advise(hintCommand)
	default:
		return nil, quiver.Errorf(quiver.BadCommand, "a scan command is no put").Advise(hintCommand)
	}
}

// Encode writes the command for a descriptor.
func (c *PutCommand) Encode() []byte { return encode(c) }

func decodePut(root *jsonValue) (*PutCommand, error) {
	var c PutCommand
	if err := root.into(valueOf(&c)); err != nil {
		return nil, err
	}
	if c.Table.IsZero() {
		return nil, noTable()
	}
	c.Table.Partition = c.Partition
	if err := c.check(); err != nil {
		return nil, err
	}
	return &c, nil
}

func (c *PutCommand) check() error {
	if err := checkBatchOptions(c.Op, c.Columns, c.Sequence, c.Bucket, c.ExpectOffset); err != nil {
		return err.On("table " + c.Table.String())
	}
	switch {
	case c.WriterEpoch < 0:
		return quiver.Errorf(quiver.BadCommand, "writer_epoch %d is negative", c.WriterEpoch)
	case c.WriterID != nil && *c.WriterID == quiver.NoWriter:
		return quiver.Errorf(quiver.BadCommand, "writer_id %d stands for no writer", *c.WriterID)
	case c.WriterID == nil && (c.Sequence != nil || c.WriterEpoch != 0):
		return quiver.Errorf(quiver.BadCommand, "sequence and writer_epoch need a writer_id").Advise(hintWriter)
	case c.Acks != "" && c.Acks != AcksAll && c.Acks != AcksLeader:
		return wrongValue(quiver.BadCommand, "acks", c.Acks, AcksAll, AcksLeader)
	}
	return nil
}

const hintWriter = "get one from the action writer.init"

// checkBatchOptions checks what commands and the metadata of batches have in common.
func checkBatchOptions(op string, columns []string, seq *quiver.Sequence, bucket *int32, expect *quiver.Offset) *quiver.Error {
	switch op {
	case "", OpAppend, OpUpsert, OpDelete:
	default:
		return wrongValue(quiver.BadCommand, "op", op, OpAppend, OpUpsert, OpDelete)
	}
	switch {
	case len(columns) > quiver.MaxColumns:
		return quiver.Errorf(quiver.BadCommand, "at most %d columns can be named", quiver.MaxColumns)
	case seq != nil && *seq < 0:
		return quiver.Errorf(quiver.BadCommand, "sequence %d is negative", *seq)
	case bucket != nil && *bucket < 0:
		return quiver.Errorf(quiver.BadCommand, "bucket %d is negative", *bucket)
	case expect != nil && *expect < 0:
		return quiver.Errorf(quiver.BadCommand, "expect_offset %d is negative", *expect)
	}
	return nil
}

// CheckOp refuses what a put asks of a table that the table does not do.
func CheckOp(t *quiver.Table, op string, columns []string, bucket *int32) error {
	on := "table " + t.Path()
	switch {
	case !t.Keyed() && (op == OpUpsert || op == OpDelete):
		return quiver.Errorf(quiver.BadCommand, "\"op\":%q needs a primary-key table, and this is a log table", op).
			On(on).Advise(`leave it out, or take "op":"append"`)
	case !t.Keyed() && columns != nil:
		return quiver.Errorf(quiver.BadCommand, "\"columns\" is a partial update and needs a primary-key table, and this is a log table").
			On(on).Advise("leave it out: missing columns take their defaults")
	case t.Keyed() && op == OpAppend:
		return quiver.Errorf(quiver.BadCommand, "\"op\":%q needs a log table, and this one has a primary key", op).
			On(on).Advise(`leave it out, or take "op":"upsert" or "op":"delete"`)
	case op == OpDelete && columns != nil && len(columns) == 0:
		return quiver.Errorf(quiver.BadCommand, "\"columns\" is empty: a delete of no column").
			On(on).Advise("leave it out to delete whole rows")
	case t.Keyed() && bucket != nil:
		return quiver.Errorf(quiver.BadCommand, "\"bucket\" cannot be chosen, the primary key decides it").On(on).Advise("leave it out")
	}
	for _, name := range columns {
		if _, ok := t.Schema.ByName(name); !ok {
			return unknownColumn(t, name)
		}
	}
	return nil
}

func unknownColumn(t *quiver.Table, name string) error {
	err := quiver.Errorf(quiver.BadCommand, "there is no column %q", clip(name)).On("table " + t.Path())
	if near := quiver.Nearest(name, t.Schema.Names()); near != "" {
		return err.Advise(fmt.Sprintf("did you mean %q?", near))
	}
	return err.Advise("see table.describe")
}

// BatchMetadata is what the app_metadata of one batch may say, for that batch only.
type BatchMetadata struct {
	Op           string           `json:"op,omitzero"`
	Columns      []string         `json:"columns,omitzero"`
	Sequence     *quiver.Sequence `json:"sequence,omitzero"`
	Bucket       *int32           `json:"bucket,omitzero"`
	ExpectOffset *quiver.Offset   `json:"expect_offset,omitzero"`
}

// Encode writes the metadata for a batch.
func (m *BatchMetadata) Encode() []byte { return encode(m) }

// ParseBatchMetadata reads the app_metadata of a batch; none at all is legal and says nothing.
func ParseBatchMetadata(metadata []byte) (BatchMetadata, error) {
	if len(metadata) == 0 {
		return BatchMetadata{}, nil
	}
	var m BatchMetadata // it takes memory
	if err := DecodeStrict(metadata, &m, quiver.BadCommand); err != nil {
		return m, err
	}
	if err := checkBatchOptions(m.Op, m.Columns, m.Sequence, m.Bucket, m.ExpectOffset); err != nil {
		return m, err
	}
	return m, nil
}

// ParseFlush reads a message without a header: {"flush": ANY}. It returns ANY as it was written, to be echoed.
func ParseFlush(metadata []byte) ([]byte, error) {
	const hint = `send {"flush": 1} to learn when everything before it is durable`
	if len(metadata) == 0 {
		return nil, quiver.Errorf(quiver.BadCommand, "a message has neither a batch nor app_metadata").Advise(hint)
	}
	root, err := parseJSON(metadata, quiver.BadCommand)
	if err != nil {
		return nil, err
	}
	var flush []byte
	err = root.eachMember(func(m *jsonValue) error {
		if m.key != "flush" {
			return root.unknownKey(m.key, []string{"flush"})
		}
		flush = m.raw
		return nil
	})
	if err == nil && flush == nil {
		return nil, root.fail("a message without a batch has no \"flush\"").Advise(hint)
	}
	return flush, err
}

// NoExpectation stands for a batch that does not care where it lands.
const NoExpectation = quiver.Offset(-1)

// BatchOrder is what one batch of a stream asks for, command and metadata taken together.
type BatchOrder struct {
	Writer       quiver.WriterID // NoWriter on unsequenced streams
	Epoch        quiver.Epoch
	Sequence     quiver.Sequence // NoSequence on unsequenced streams
	Bucket       *int32          // nil: the table decides
	Op           string          // "": the table's default
	Columns      []string        // of a partial update; nil: whole rows
	ExpectOffset quiver.Offset   // NoExpectation, or the log end that the batch wants to find
}

// PutStream counts the batches of one stream: it gives each its sequence and expected offset, and refuses those that
// break the order. The zero value is not usable; PutCommand.Stream makes one.
//
//	sequenced throughout or not at all      else BAD_COMMAND
//	sequences rise by one                   else OUT_OF_ORDER_SEQUENCE
type PutStream struct {
	command *PutCommand
	started bool
	next    quiver.Sequence // of the next batch, NoSequence on unsequenced streams
	expect  quiver.Offset   // of the next batch, NoExpectation if the command has none
}

// Stream starts counting the batches of a stream.
func (c *PutCommand) Stream() *PutStream {
	s := &PutStream{command: c, next: quiver.NoSequence, expect: NoExpectation}
	if c.Sequence != nil {
		s.next = *c.Sequence
	}
	if c.ExpectOffset != nil {
		s.expect = *c.ExpectOffset
	}
	return s
}

// Next takes up one batch, also one without rows, with what its metadata says.
func (s *PutStream) Next(m BatchMetadata, rows int64) (BatchOrder, error) {
	if err := s.sequence(m.Sequence); err != nil {
		return BatchOrder{}, err
	}
	o := BatchOrder{Writer: quiver.NoWriter, Sequence: s.next, Bucket: s.command.Bucket,
		Op: s.command.Op, Columns: s.command.Columns, ExpectOffset: s.expect}
	if s.next != quiver.NoSequence {
		o.Writer, o.Epoch = *s.command.WriterID, s.command.WriterEpoch
		s.next++
	}
	if m.Bucket != nil {
		o.Bucket = m.Bucket
	}
	if m.Op != "" {
		o.Op = m.Op
	}
	if m.Columns != nil {
		o.Columns = m.Columns
	}
	if m.ExpectOffset != nil {
		o.ExpectOffset = *m.ExpectOffset
	}
	if s.expect != NoExpectation {
		s.expect += quiver.Offset(rows)
	}
	return o, nil
}

// sequence settles s.next, the sequence of the batch at hand; given is what its metadata says.
func (s *PutStream) sequence(given *quiver.Sequence) error {
	first := !s.started
	s.started = true
	if first && s.next == quiver.NoSequence && given != nil {
		if s.command.WriterID == nil {
			return quiver.Errorf(quiver.BadCommand, "sequence %d comes without a writer_id in the put command", *given).Advise(hintWriter)
		}
		s.next = *given
	}
	switch {
	case s.next == math.MaxInt64:
		return quiver.Errorf(quiver.BadCommand, "sequence %d is the last number there is", s.next)
	case s.next == quiver.NoSequence && given != nil:
		return quiver.Errorf(quiver.BadCommand, "sequence %d on a stream that began without sequences", *given).
			Advise("give the first batch a sequence, or none")
	case s.next == quiver.NoSequence && s.command.WriterID != nil:
		return quiver.Errorf(quiver.BadCommand, "writer %d puts a batch without a sequence", *s.command.WriterID).
			Advise(`give "sequence" in the command or with the first batch, or leave writer_id out`)
	case given != nil && *given != s.next:
		return quiver.Errorf(quiver.OutOfOrderSequence, "sequence %d comes where %d is next; within a stream sequences rise by one", *given, s.next).
			Advise("go on from the first batch that was not acknowledged, in order")
	}
	return nil
}
