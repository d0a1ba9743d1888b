package main

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/quiverlog/quiver/flight"
)

// change is one entry of a changelog: a row as text, and what became of it.
type change struct {
	bucket int32
	offset int64
	what   string // +I, -U, +U, -D
	key    string
	row    string
	at     func(column string) int64
}

// foldLog reads a changelog and folds it, and refuses what no changelog may say: an update-before that is not the row
// before it or does not stand right before its update-after, an insert of what is there, a delete of what is not. What
// it gives is the rows at its end.
func foldLog(ctx context.Context, c *conn, table, key string, see func(change) error) (map[string]string, error) {
	rows := map[string]string{}
	before := map[int32]string{} // by bucket: the key of an update-before whose update-after is to come
	command := flight.ScanCommand{Table: flight.Named(table), Read: flight.ReadLog}
	err := readAll(ctx, c, command, func(s *flight.Scanner) error {
		batch, info := s.Batch(), s.Info()
		types := column(batch, "__change_type")
		for i := range int(batch.NumRows()) {
			ch := change{bucket: placeOf(info.Partition, info.Bucket), offset: int64(info.From) + int64(i), what: textAt(types, i), key: keyAt(batch, key, i), row: textOfRow(batch, i)}
			ch.at = func(name string) int64 { return intAt(column(batch, name), i) }
			if err := foldChange(rows, before, ch); err != nil {
				return broken("changelog: bucket %d, offset %d of %s: %v", ch.bucket, ch.offset, table, err)
			}
			if err := see(ch); err != nil {
				return err
			}
		}
		return nil
	})
	for bucket, key := range before {
		if err == nil && key != "" {
			err = broken("changelog: bucket %d of %s ends between two halves of an update of %s", bucket, table, key)
		}
	}
	return rows, err
}

func foldChange(rows map[string]string, before map[int32]string, ch change) error {
	row, there := rows[ch.key]
	if due := before[ch.bucket]; due != "" && (ch.what != "+U" || ch.key != due) {
		return fmt.Errorf("%s of %s follows the update-before of %s", ch.what, ch.key, due)
	}
	switch ch.what {
	case "+I":
		if there {
			return fmt.Errorf("%s is inserted and was there as %s", ch.key, row)
		}
		rows[ch.key] = ch.row
	case "-U":
		if !there || row != ch.row {
			return fmt.Errorf("%s is said to have been %s and was %q", ch.key, ch.row, row)
		}
		before[ch.bucket] = ch.key
	case "+U":
		if before[ch.bucket] != ch.key {
			return fmt.Errorf("%s is updated, and what it was does not stand before", ch.key)
		}
		before[ch.bucket] = ""
		rows[ch.key] = ch.row
	case "-D":
		if !there || row != ch.row {
			return fmt.Errorf("%s is deleted as %s and was %q", ch.key, ch.row, row)
		}
		delete(rows, ch.key)
	default:
		return fmt.Errorf("a change is %q", ch.what)
	}
	return nil
}

// keyAt is a key as text; the names of several columns have commas between them.
func keyAt(batch arrow.RecordBatch, names string, i int) string {
	var parts []string
	for name := range strings.SplitSeq(names, ",") {
		a := column(batch, name)
		if t, ok := a.(*array.Timestamp); ok {
			parts = append(parts, t.Value(i).ToTime(t.DataType().(*arrow.TimestampType).Unit).UTC().Format(time.RFC3339))
			continue
		}
		parts = append(parts, textAt(a, i))
	}
	return strings.Join(parts, "|")
}

// textOfRow is a row as text, without system columns.
func textOfRow(batch arrow.RecordBatch, i int) (text string) {
	for c, f := range batch.Schema().Fields() {
		if len(f.Name) < 2 || f.Name[:2] != "__" {
			text += batch.Column(c).ValueStr(i) + "|"
		}
	}
	return text
}

// judgeFold compares the rows of a table, and how many there are said to be, with the fold of its changelog.
func judgeFold(ctx context.Context, c *conn, table, key string, folded map[string]string) error {
	rows := map[string]string{}
	err := readAll(ctx, c, flight.ScanCommand{Table: flight.Named(table), Read: flight.ReadTable}, func(s *flight.Scanner) error {
		batch := s.Batch()
		for i := range int(batch.NumRows()) {
			k := keyAt(batch, key, i)
			if _, twice := rows[k]; twice {
				return broken("fold: %s has two rows of key %s", table, k)
			}
			rows[k] = textOfRow(batch, i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !maps.Equal(rows, folded) {
		return broken("fold: the rows of %s are not the fold of its changelog: %s", table, differ(rows, folded))
	}
	stats, err := c.TableStats(ctx, table)
	if err != nil {
		return err
	}
	if said := stats[len(stats)-1].Rows; said != int64(len(rows)) {
		return broken("fold: %s is said to have %d rows and has %d", table, said, len(rows))
	}
	return nil
}

// differ names some keys in which two tables differ.
func differ(rows, folded map[string]string) (text string) {
	told := 0
	for _, keys := range []map[string]string{rows, folded} {
		for k := range keys {
			if rows[k] != folded[k] && told < 3 {
				text += fmt.Sprintf("; key %s is %.60q and was to be %.60q", k, rows[k], folded[k])
				told++
			}
		}
	}
	return fmt.Sprintf("%d rows, %d in the fold%s", len(rows), len(folded), text)
}

// judgeCurrent checks the table of the upserters.
func judgeCurrent(ctx context.Context, c *conn, table string, upserters []*upserter, v *view) error {
	found := map[int64]string{}
	folded, err := foldLog(ctx, c, table, "k", func(ch change) error {
		switch ch.what {
		case "+I", "+U":
			found[ch.at("k")] = rowText(int32(ch.at("client")), ch.at("n"), textOfUpsert(ch.at("n")))
		case "-D":
			delete(found, ch.at("k"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := judgeFold(ctx, c, table, "k", folded); err != nil {
		return err
	}
	if !maps.Equal(v.rows, folded) {
		return broken("view: what the rows and the changelog behind them come to is not the table: %s", differ(v.rows, folded))
	}
	for _, u := range upserters {
		if err := u.settle("the changelog", found); err != nil {
			return err
		}
	}
	return nil
}

// judgeCounts checks the counters: every step once, by an increment that was acknowledged or open.
func judgeCounts(ctx context.Context, c *conn, table string, paths []string) error {
	type step struct {
		client int32
		n      int64
	}
	outcome := map[step]string{} // the best one
	err := eachNote(paths, func(n note) error {
		s := step{n.Client, n.Put}
		if was := outcome[s]; n.Is != isFailed && (was == isDone || was == isUnknown && n.Is != isDone) {
			return nil
		}
		outcome[s] = n.Is
		return nil
	})
	if err != nil {
		return err
	}
	counts, met := map[string]int64{}, map[step]bool{}
	folded, err := foldLog(ctx, c, table, "k", func(ch change) error {
		if ch.what == "-U" {
			return nil
		}
		s := step{int32(ch.at("client")), ch.at("n")}
		if counts[ch.key]++; ch.at("count") != counts[ch.key] {
			return broken("counter: step %d of %s says %d", counts[ch.key], ch.key, ch.at("count"))
		}
		if met[s] {
			return broken("counter: increment %d of client %d counts twice", s.n, s.client)
		}
		met[s] = true
		if outcome[s] == isRefused || outcome[s] == isFailed || outcome[s] == "" {
			return broken("ghost: increment %d of client %d stands in the changelog and was %q", s.n, s.client, outcome[s])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for s, o := range outcome {
		if o == isDone && !met[s] {
			return broken("lost: increment %d of client %d was acknowledged", s.n, s.client)
		}
	}
	return judgeFold(ctx, c, table, "k", folded)
}

// judgeOnce checks the words: each was inserted once, with the id that everyone was told.
func judgeOnce(ctx context.Context, c *conn, table string, known *ids) error {
	folded, err := foldLog(ctx, c, table, "word", func(ch change) error {
		if ch.what != "+I" {
			return broken("insert: %s of %s stands in the changelog", ch.what, ch.key)
		}
		return known.learn(ch.key, ch.at("id"))
	})
	if err != nil {
		return err
	}
	known.mu.Lock()
	defer known.mu.Unlock()
	for word, id := range known.id {
		if _, ok := folded[word]; !ok {
			return broken("lost: %s was given the id %d and is not there", word, id)
		}
	}
	return judgeFold(ctx, c, table, "word", folded)
}

// judgeSums checks that every addition counts once.
func judgeSums(ctx context.Context, c *conn, table string, s *summer) error {
	total, times, largest := map[string]int64{}, map[string]int64{}, map[string]int64{}
	folded, err := foldLog(ctx, c, table, "k", func(ch change) error {
		total[ch.key], times[ch.key], largest[ch.key] = ch.at("total"), ch.at("times"), ch.at("largest")
		return nil
	})
	if err != nil {
		return err
	}
	for k, want := range s.total {
		key := strconv.FormatInt(k, 10)
		if total[key] != want || times[key] != s.times[k] || largest[key] != s.largest[k] {
			return broken("sum: key %d has %d of %d additions, they add up to %d, not %d, and the largest is %d, not %d",
				k, times[key], s.times[k], total[key], want, largest[key], s.largest[k])
		}
	}
	return judgeFold(ctx, c, table, "k", folded)
}
