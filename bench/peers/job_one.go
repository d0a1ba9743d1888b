package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/quiverlog/quiver/flight"
)

// What the tuned settings of latency set. Zero is what Fluss waits least with; 1 ms makes it wait three.
const (
	flussWriteNow  = "client.writer.batch-timeout=0ms"
	pyflussNow     = "writer.batch-timeout-ms=0"
	flussFetchSoon = "client.scanner.log.fetch.wait-max-time=5ms"
	kafkaNow       = "linger.ms=0"
)

// timedRows is what a client's answer says of requests that were timed.
func timedRows(m metrics, a answer) metrics {
	for name, v := range percentiles(a.Times) {
		m[name] = v
	}
	delete(m, rowsPerSec)
	delete(m, megabytes)
	return m
}

// runOneRow has one producer that waits for the acknowledgement of each row.
func runOneRow(ctx context.Context, p *peers, r *result) error {
	t, err := p.all(ctx)
	if err != nil {
		return err
	}
	file, err := p.data(bids(p.size(65_536, 8192), p.size(32, 2)), p.size(512<<10, 8192))
	if err != nil {
		return err
	}
	rows, err := bidRows(file, 8192)
	if err != nil {
		return err
	}
	most, span := p.size(3000, 20), time.Duration(p.size(1500, 300))*time.Millisecond
	o := order{"do": "one", "columns": columnWords(file.columns), "most": strconv.Itoa(most), "ms": strconv.Itoa(int(span.Milliseconds()))}
	records, batches := o.with(order{"file": file.records}), o.with(order{"file": file.arrow})
	golang := func(ctx context.Context, table string) (metrics, answer, error) {
		return inHere(t.q.pids(), 0, 0, func() (answer, error) { return t.oneByOne(ctx, table, rows, most, span) })
	}
	quiver := func(work appendWork) func(context.Context) (metrics, error) {
		return t.timedInto(t.intoQuiver(file.columns, work))
	}
	fluss := func(c *client, o order, conf string) func(context.Context) (metrics, error) {
		return t.timedInto(t.intoFluss(file.columns, "", timedWork(byClient(t.f.pids(), c, 0, o.with(order{"conf": conf})))))
	}
	kafka := func(topic, conf string) func(context.Context) (metrics, error) {
		return t.timedInto(t.intoKafka(topic, timedWork(byClient(t.k.pids(), t.k.java, 0, records.with(order{"conf": conf})))))
	}
	arms := []arm{
		{quiverName, goName, defaults, synced, quiver(timedWork(golang))},
		{quiverName, pyarrowName, defaults, synced, quiver(timedWork(byClient(t.q.pids(), t.q.python, 0, batches)))},
		{flussName, javaName, defaults, pageCache, fluss(t.f.java, records, "")},
		{flussName, javaName, flussWriteNow, pageCache, fluss(t.f.java, records, flussWriteNow)},
		{flussName, pyflussName, defaults, pageCache, fluss(t.f.python, batches, "")},
		{flussName, pyflussName, pyflussNow, pageCache, fluss(t.f.python, batches, pyflussNow)},
		{kafkaName, javaName, defaults, pageCache, kafka("", "")},
		{kafkaName, javaName, kafkaNow, pageCache, kafka("", kafkaNow)},
		{kafkaName, javaName, kafkaSync, synced, kafka(kafkaSync, "")},
		{kafkaName, javaName, kafkaNow + ";" + kafkaSync, synced, kafka(kafkaSync, kafkaNow)},
	}
	r.Notes = []string{
		fmt.Sprintf("One producer sends a row of `%s`, waits until it is acknowledged, and sends the next: at most %d rows and %v a turn. One bucket or partition, one replica, acks=all.", file.name, most, span),
		"At defaults Fluss's client waits 100 ms for more rows, Kafka's 5 ms. Quiver syncs every row here; the peers do so only where the table says it.",
	}
	for _, mine := range []int{0, 1} {
		for other := 2; other < len(arms); other++ {
			if (arms[mine].Client == goName) == (arms[other].Client == javaName) {
				r.pair(p50, &arms[mine], &arms[other])
			}
		}
	}
	for _, other := range []int{2, 3, 7, 9} {
		r.pair(p99, &arms[0], &arms[other])
	}
	return p.takeTurns(ctx, r, p.rounds, arms)
}

// timedWork turns the metrics of work into those of requests that were timed.
func timedWork(work appendWork) appendWork {
	return func(ctx context.Context, table string) (metrics, answer, error) {
		m, a, err := work(ctx, table)
		if err != nil {
			return nil, a, err
		}
		return timedRows(m, a), a, nil
	}
}

// timedInto drops what the disk holds after a few rows: it would say more about block sizes than about the systems.
func (t *trio) timedInto(into func(context.Context) (metrics, error)) func(context.Context) (metrics, error) {
	return func(ctx context.Context) (metrics, error) {
		m, err := into(ctx)
		delete(m, diskRow)
		return m, err
	}
}

// oneByOne appends a row and waits until it is durable, for a bounded number and time.
func (t *trio) oneByOne(ctx context.Context, table string, rows []bidRow, most int, span time.Duration) (a answer, err error) {
	appender, err := t.q.client.Append(ctx, table, flight.AppendOptions{})
	if err != nil {
		return a, err
	}
	into, err := flight.RowsOf[bidRow](ctx, appender)
	began := time.Now()
	for i := 0; err == nil && i < most && time.Since(began) < span; i++ {
		sent := time.Now()
		if err = into.Append(ctx, rows[i%len(rows)]); err == nil {
			_, err = appender.Flush(ctx)
		}
		a.Times = append(a.Times, int64(time.Since(sent)))
	}
	a.Seconds, a.Rows = time.Since(began).Seconds(), int64(len(a.Times))
	if _, closed := appender.Close(ctx); err == nil {
		err = closed
	}
	return a, err
}
