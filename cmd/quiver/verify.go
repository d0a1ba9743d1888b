package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/tabular"
	"github.com/quiverlog/quiver/node"
)

// newVerify checks a data directory that no server has open.
func newVerify() *cobra.Command {
	c := &call{}
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Check every checksum of a data directory, and whether all that is in it fits together; needs no server",
		Example: `  quiver verify quiver-data
  quiver verify /var/lib/quiver -o json > findings.json`,
		Long: `Check a data directory while no server runs on it: each segment with all of its batches, chains, units and writers,
state and index files, the marks, current rows and their checkpoint against their changelogs, and the metadata against both. Nothing
is written. What a crash may leave, and the next start makes good or cuts off, is a note and no finding; so is what an
earlier start moved aside.

Exit code 0: all is sound. 1: each damaged file is named, with the bytes and the rows that it is about.`,
		Args: arguments("DIR"),
	}
	c.cmd = cmd
	flags := cmd.Flags()
	flags.StringVarP(&c.output, "output", "o", "", "table, json, ndjson, csv, arrow or parquet; a terminal gets table, a pipe ndjson")
	flags.BoolVarP(&c.quiet, "quiet", "q", false, "no progress and no summary")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if c.output != "" {
			if _, err := tabular.ParseOutput(c.output); err != nil {
				return usageError{fmt.Errorf("--output: %s", detail(err))}
			}
		}
		return c.verify(cmd.Context(), args[0])
	}
	return cmd
}

func (c *call) verify(ctx context.Context, dir string) error {
	var done, total atomic.Int64
	started := time.Now()
	stop := c.show(func(time.Duration) string {
		if total.Load() == 0 {
			return "reading the metadata"
		}
		return fmt.Sprintf("%d %% of %s  %s/s", 100*done.Load()/total.Load(), bytesText(total.Load()), bytesText(perSecond(done.Load(), time.Since(started))))
	})
	v, err := node.Verify(ctx, node.VerifyOptions{Data: dir, Progress: func(n, of int64) {
		done.Store(n)
		total.Store(of)
	}})
	stop()
	switch {
	case errors.Is(err, node.ErrNoData):
		return notFoundError{err}
	case err != nil:
		return err
	}
	if err := c.findings(v); err != nil {
		return err
	}
	c.sum("%s, %s, %s, %s in logs, %s read in %s", count(v.Tables, "table"), count(v.Logs, "log"), count(v.Segments, "segment"),
		tabular.CountRows(v.Rows), bytesText(v.Bytes), since(started))
	if n := int64(len(v.Findings)); n > 0 {
		return fmt.Errorf("%s in %s", count(n, "finding"), dir)
	}
	if n := int64(len(v.Notes)); n > 0 {
		c.sum("%s is sound, with %s", dir, count(n, "note"))
		return nil
	}
	c.sum("%s is sound", dir)
	return nil
}

// findings writes what was found, and then the notes: for people a paragraph each, for programs a row.
func (c *call) findings(v *node.Verification) error {
	if c.format() == tabular.Table {
		out := c.cmd.OutOrStdout()
		return errors.Join(tellFindings(out, "", v.Findings), tellFindings(out, "note, ", v.Notes))
	}
	g := newGrid("level", textColumn, "kind", textColumn, "file", textColumn, "table", intColumn, "partition", intColumn, "bucket", intColumn,
		"bytes_from", intColumn, "bytes_until", intColumn, "from", intColumn, "until", intColumn, "problem", textColumn, "effect", textColumn)
	for i, f := range slices.Concat(v.Findings, v.Notes) {
		level := "finding"
		if i >= len(v.Findings) {
			level = "note"
		}
		var table, partition, bucket, bytesFrom, bytesUntil, from, until any
		if f.Bucket != nil {
			table, partition, bucket = int64(f.Bucket.Table), int64(f.Bucket.Partition), int64(f.Bucket.Bucket)
		}
		if f.Bytes.Until > f.Bytes.From {
			bytesFrom, bytesUntil = f.Bytes.From, f.Bytes.Until
		}
		if f.Offsets.Until > f.Offsets.From {
			from, until = int64(f.Offsets.From), int64(f.Offsets.Until)
		}
		g.add(level, string(f.Kind), f.File, table, partition, bucket, bytesFrom, bytesUntil, from, until, f.Problem, f.Effect)
	}
	return c.print(g)
}

func tellFindings(out io.Writer, level string, found []quiver.Finding) error {
	for _, f := range found {
		effect := f.Effect
		f.Effect = ""
		if _, err := fmt.Fprintf(out, "%s%s: %s\n    %s\n", level, f.Kind, f, effect); err != nil {
			return err
		}
	}
	return nil
}

// count writes a number of things: "1 table", "2 tables".
func count(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return tabular.FormatCount(n) + " " + what
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

func perSecond(n int64, took time.Duration) int64 {
	return int64(float64(n) / max(took.Seconds(), 1e-9))
}
