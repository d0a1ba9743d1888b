package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/tabular"
)

// boardRows is how many counts are shown.
const boardRows = 15

// watch shows the counts on a terminal as the changelog tells them, until the context ends. It is a follower like any
// other, and what fails it fails nothing else.
func (c *call) watch(ctx context.Context, k *counting) {
	out := c.cmd.ErrOrStderr()
	if c.quiet || !isTerminal(out) {
		return
	}
	scanner, err := c.client.Scan(ctx, flight.ScanCommand{Table: flight.Named(k.target), Read: flight.ReadTableLog, Follow: true})
	if err != nil {
		return
	}
	defer scanner.Close()
	b := &board{out: out, width: widthOf(out), schema: k.schema, counts: map[any]tally{}}
	defer b.erase()
	for scanner.Next() {
		// -U and +U follow one another, and rows of one key keep their order: the last one is how the row is.
		maps.Copy(b.counts, talliesOf(scanner.Batch(), 0))
		if now := time.Now(); now.Sub(b.drawn) >= progressEvery {
			b.draw(now)
		}
	}
}

// board is a table on a terminal that is drawn anew in its place.
type board struct {
	out    io.Writer
	width  int
	schema *arrow.Schema
	counts map[any]tally

	lines int // that are on the terminal
	drawn time.Time
	bids  int64 // that were counted then
}

// draw shows the greatest counts, and how many bids a second are counted.
func (b *board) draw(now time.Time) {
	bids := int64(0)
	for _, t := range b.counts {
		bids += t.bids
	}
	var text bytes.Buffer
	if err := writeCounts(&text, b.schema, b.counts, b.width); err != nil {
		return
	}
	fmt.Fprintf(&text, "%s counted", tabular.FormatCount(bids))
	if !b.drawn.IsZero() {
		fmt.Fprintf(&text, ", %s", rate(bids-b.bids, now.Sub(b.drawn)))
	}
	text.WriteByte('\n')
	b.erase()
	_, _ = b.out.Write(text.Bytes())
	b.lines, b.drawn, b.bids = bytes.Count(text.Bytes(), []byte{'\n'}), now, bids
}

// erase takes the table away.
func (b *board) erase() {
	if b.lines > 0 {
		fmt.Fprintf(b.out, "\x1b[%dA\r\x1b[J", b.lines)
	}
	b.lines = 0
}

// writeCounts writes the greatest counts as a table.
func writeCounts(w io.Writer, schema *arrow.Schema, counts map[any]tally, width int) error {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b any) int {
		return cmp.Or(cmp.Compare(counts[b].bids, counts[a].bids), compareCells(a, b))
	})
	keys = keys[:min(len(keys), boardRows)]
	rows := batchOf(schema, len(keys), func(i int) []any {
		t := counts[keys[i]]
		return []any{keys[i], t.bids, t.highest, t.until}
	})
	defer rows.Release()
	table, err := tabular.NewWriter(w, tabular.Table, schema, tabular.WriteOptions{Width: width})
	if err != nil {
		return err
	}
	if err := table.Write(rows); err != nil {
		return err
	}
	return table.Close()
}

// compareCells orders keys of one column.
func compareCells(a, b any) int {
	if text, ok := a.(string); ok {
		return cmp.Compare(text, b.(string))
	}
	return cmp.Compare(a.(int64), b.(int64))
}

// printCounts prints the counts: a table shows the greatest, other formats have all, by key.
func (c *call) printCounts(ctx context.Context, k *counting) error {
	command := flight.ScanCommand{Table: flight.Named(k.target), Order: "key"}
	if c.format() != tabular.Table {
		return c.copyOut(ctx, command)
	}
	scanner, done, err := c.scan(ctx, command)
	if err != nil {
		return err
	}
	defer done()
	counts := map[any]tally{}
	for scanner.Next() {
		maps.Copy(counts, talliesOf(scanner.Batch(), 0))
	}
	if err := scanner.Err(); err != nil {
		return err
	}
	out := c.cmd.OutOrStdout()
	if err := writeCounts(out, k.schema, counts, widthOf(out)); err != nil {
		return err
	}
	if len(counts) > boardRows {
		c.sum("these are the greatest of %s; all: quiver scan %s -o csv", tabular.CountRows(int64(len(counts))), k.target)
	}
	return nil
}
