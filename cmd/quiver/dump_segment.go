package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/tabular"
)

// newDumpSegment shows what a segment file holds, without a server.
func newDumpSegment() *cobra.Command {
	c := &call{}
	cmd := &cobra.Command{
		Use:   "dump-segment FILE",
		Short: "Show the batches of a segment file, or with --rows its rows; needs no server",
		Example: `  quiver dump-segment quiver-data/log/1/0/0/00000000000000000000.arrows
  quiver dump-segment FILE --rows -o parquet > rows.parquet`,
		Args: arguments("FILE"),
	}
	c.cmd = cmd
	flags := cmd.Flags()
	flags.StringVarP(&c.output, "output", "o", "", "table, json, ndjson, csv, arrow or parquet; a terminal gets table, a pipe ndjson")
	rows := flags.Bool("rows", false, "show the rows instead of the headers")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if c.output != "" {
			if _, err := tabular.ParseOutput(c.output); err != nil {
				return usageError{fmt.Errorf("--output: %s", detail(err))}
			}
		}
		file, err := os.Open(args[0])
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("there is no file %s", args[0])
		}
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // it was read only
		if *rows {
			return c.dumpRows(file)
		}
		return c.dumpHeaders(file)
	}
	return cmd
}

// dumpRows writes the rows, as any Arrow reader finds them.
func (c *call) dumpRows(file *os.File) error {
	reader, err := tabular.NewReader(file, tabular.ReadOptions{Name: file.Name(), Format: tabular.Arrow})
	if err != nil {
		return fmt.Errorf("%s is no segment: %w", file.Name(), err)
	}
	defer func() { _ = reader.Close() }() // it was read only
	w, err := c.writer(reader.Schema())
	if err != nil {
		return err
	}
	for {
		batch, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return w.Close()
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", file.Name(), err)
		}
		err = w.Write(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
}

// dumpHeaders lists the batches, each checked by its checksum.
func (c *call) dumpHeaders(file *os.File) error {
	in := bufio.NewReaderSize(file, 1<<20)
	first, err := nextMessage(in)
	if err != nil {
		return fmt.Errorf("%s is no segment: %w", file.Name(), err)
	}
	identity, schema, err := record.ParseSegmentSchema(first)
	if err != nil {
		return fmt.Errorf("%s is no segment: %w", file.Name(), err)
	}
	if c.format() == tabular.Table {
		fmt.Fprintf(c.cmd.OutOrStdout(), "segment of table %d, partition %d, bucket %d\n  base offset %d, schema %d: ", identity.Bucket.Table,
			identity.Bucket.Partition, identity.Bucket.Bucket, identity.BaseOffset, identity.Schema)
		for i, f := range schema.Fields() {
			if i > 0 {
				fmt.Fprint(c.cmd.OutOrStdout(), ", ")
			}
			fmt.Fprintf(c.cmd.OutOrStdout(), "%s %s", f.Name, quiver.FormatType(f.Type))
		}
		fmt.Fprint(c.cmd.OutOrStdout(), "\n\n")
	}
	g := newGrid("position", intColumn, "from", intColumn, "until", intColumn, "rows", intColumn, "epoch", intColumn, "timestamp", timeColumn,
		"schema", intColumn, "continued", boolColumn, "high_watermark", intColumn, "codec", textColumn, "bytes", intColumn, "crc", textColumn, "producers", textColumn)
	position := int64(len(first))
	for {
		message, err := nextMessage(in)
		if errors.Is(err, io.EOF) {
			return c.print(g)
		}
		var meta *record.Meta
		if err == nil {
			meta, err = record.ParseHeader(message, identity.Seed())
		}
		if err == nil {
			_, err = io.CopyN(io.Discard, in, meta.BodyLen)
		}
		if err != nil {
			return errors.Join(c.print(g), fmt.Errorf("%s, position %d: %w", file.Name(), position, err))
		}
		producers, err := producersText(meta)
		if err != nil {
			return err
		}
		g.add(position, int64(meta.BaseOffset), int64(meta.Until()), int64(meta.Rows), int64(meta.Epoch), meta.Timestamp, int64(meta.Schema),
			meta.Flags&record.Continued != 0, int64(meta.HighWatermark), meta.Codec.String(), meta.Size(), fmt.Sprintf("%08x", meta.CRC), producers)
		position += meta.Size()
	}
}

// nextMessage reads prefix and metadata of the next message; io.EOF at the clean end of the stream.
func nextMessage(in *bufio.Reader) ([]byte, error) {
	const prefix = 8
	begin, err := in.Peek(prefix)
	if len(begin) < prefix {
		return nil, io.EOF
	}
	n, ok := record.PeekPrefix(begin)
	if !ok {
		if string(begin) == string(make([]byte, prefix)) {
			return nil, io.EOF
		}
		return nil, errors.New("no message of a segment starts here")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	message := make([]byte, n)
	_, err = io.ReadFull(in, message)
	return message, err
}

func producersText(meta *record.Meta) (string, error) {
	producers, err := meta.Producers()
	if err != nil {
		return "", err
	}
	type producer struct {
		Writer   quiver.WriterID `json:"writer_id"`
		Epoch    quiver.Epoch    `json:"writer_epoch"`
		Sequence quiver.Sequence `json:"sequence"`
		Rows     int64           `json:"rows"`
	}
	named := make([]producer, len(producers))
	for i, p := range producers {
		named[i] = producer(p)
	}
	text, err := json.Marshal(named)
	return string(text), err
}
