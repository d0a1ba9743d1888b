package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/tabular"
)

// newDemo writes an auction's bids, like those of the NEXMark benchmark, at a rate, and counts them if it is asked to.
func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Write a live stream of an auction's bids into a table, until interrupted",
		Example: `  quiver demo
  quiver demo --rate 50k/s
  quiver demo --count channel                           keeps and shows bids_by_channel: a row per channel, live
  quiver tail bids -f --where "price > 9000"            in another terminal
  quiver changelog bids_by_channel -f                   in another terminal`,
		Args: noArguments,
	}
	var d demo
	cmd.Flags().StringVar(&d.table, "table", "bids", "the table; created if it does not exist")
	speed := cmd.Flags().String("rate", "1000/s", "rows a second: 500, 50k/s, 2m/s")
	cmd.Flags().Int64Var(&d.rows, "rows", 0, "stop after so many rows; 0: when interrupted")
	cmd.Flags().StringVar(&d.count, "count", "", "count the bids by channel, auction or bidder, in a table with that primary key, and show the counts")
	return verb(cmd, func(ctx context.Context, c *call, _ []string) error {
		var err error
		if d.perSecond, err = parseRate(*speed); err != nil {
			return err
		}
		if d.rows < 0 {
			return usageError{errors.New("--rows: a number from 0 is expected")}
		}
		if d.count != "" && !slices.Contains(countable, d.count) {
			return usageError{fmt.Errorf("--count %s: bids are counted by %s", d.count, strings.Join(countable, ", "))}
		}
		return c.demo(ctx, d)
	})
}

// demo is what to write where.
type demo struct {
	table     string
	perSecond int64
	rows      int64  // 0: until interrupted
	count     string // a column whose values are counted; "": none
}

// parseRate reads "500", "50k", "50k/s", "2m/s".
func parseRate(text string) (int64, error) {
	digits, factor := strings.TrimSuffix(strings.ToLower(text), "/s"), 1.0
	for suffix, times := range map[string]float64{"k": 1e3, "m": 1e6} {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits, factor = rest, times
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if rate := n * factor; err == nil && rate >= 1 && rate <= 1e8 {
		return int64(rate), nil
	}
	return 0, usageError{fmt.Errorf("--rate %s: write rows a second, from 1 to 100m, as 500, 50k/s or 2m/s", text)}
}

var bidSchema = arrow.NewSchema([]arrow.Field{
	{Name: "auction", Type: arrow.PrimitiveTypes.Int64},
	{Name: "bidder", Type: arrow.PrimitiveTypes.Int64},
	{Name: "price", Type: arrow.PrimitiveTypes.Int64},
	{Name: "channel", Type: arrow.BinaryTypes.String},
	{Name: "url", Type: arrow.BinaryTypes.String},
	{Name: "date_time", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
}, nil)

// countable are the columns that bids are counted by.
var countable = []string{"channel", "auction", "bidder"}

var channels = []string{"Google", "Facebook", "Baidu", "Apple"}

const (
	demoTick     = 20 * time.Millisecond
	demoMaxBatch = 65_536
)

func (c *call) demo(ctx context.Context, d demo) error {
	word, err := schemaWord(bidSchema)
	if err != nil {
		return err
	}
	asked, cancel := c.ask(ctx)
	defer cancel()
	if _, err := c.client.CreateTable(asked, flight.TableCreate{Table: flight.Named(d.table), Schema: word, IfNotExists: true, Comment: "bids of an auction, by quiver demo"}); err != nil {
		return err
	}
	if d.count != "" {
		return c.demoCounting(ctx, d)
	}
	return c.writeBids(ctx, d, c.progress())
}

// writeBids appends bids until there are enough of them, or it is interrupted, which is no failure.
func (c *call) writeBids(ctx context.Context, d demo, shown *progress) error {
	defer shown.stop()
	asked, cancel := c.ask(ctx)
	defer cancel()
	appender, err := c.client.Append(asked, d.table, flight.AppendOptions{})
	if err != nil {
		return err
	}
	c.sum("writing %s a second into %s; ^C ends it", tabular.CountRows(d.perSecond), d.table)
	started := time.Now()
	err = c.bids(ctx, appender, shown, d.perSecond, d.rows)
	closing, stop := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer stop()
	totals, closeErr := appender.Close(closing)
	shown.stop()
	if ctx.Err() != nil {
		err = nil // interrupted: that is how it ends
	}
	if err == nil {
		err = closeErr
	}
	if err == nil {
		c.sum("wrote %s to %s in %s (%s)", tabular.CountRows(totals.Rows), d.table, since(started), rate(totals.Rows, time.Since(started)))
	}
	return err
}

// bids appends rows at a rate, as many at each tick as are due by then.
func (c *call) bids(ctx context.Context, appender *flight.Appender, shown *progress, perSecond, most int64) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, bidSchema)
	defer b.Release()
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	started, written := time.Now(), int64(0)
	for {
		due := int64(time.Since(started).Seconds()*float64(perSecond)) - written
		if most > 0 {
			due = min(due, most-written)
		}
		for due > 0 {
			n := min(due, demoMaxBatch)
			addBids(b, random, int(n))
			batch := b.NewRecordBatch()
			err := appender.Append(ctx, batch)
			batch.Release()
			if err != nil {
				return err
			}
			written, due = written+n, due-n
			shown.rows.Add(n)
		}
		if most > 0 && written >= most {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func addBids(b *array.RecordBuilder, random *rand.Rand, n int) {
	now := arrow.Timestamp(time.Now().UnixMicro())
	for range n {
		auction, channel := random.Int64N(1000), channels[random.IntN(len(channels))]
		b.Field(0).(*array.Int64Builder).Append(1000 + auction)
		b.Field(1).(*array.Int64Builder).Append(1000 + random.Int64N(10_000))
		b.Field(2).(*array.Int64Builder).Append(int64(random.ExpFloat64()*2000) + 1)
		b.Field(3).(*array.StringBuilder).Append(channel)
		b.Field(4).(*array.StringBuilder).Append("https://www.nexmark.com/" + strings.ToLower(channel) + "/item.htm?query=" + strconv.FormatInt(auction, 10))
		b.Field(5).(*array.TimestampBuilder).Append(now)
	}
}
