package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/registertest"
)

// round is one set of tables and clients.
type round struct {
	*harness
	number    int
	dir       string // of its notes
	log       shape  // of the log table
	buckets   int32
	clients   []*client
	followers []*follower
	prober    *producer // puts for the nemesis
	upserters []*upserter
	view      *view
	summer    *summer
	pyarrow   *pyarrow
	floors    *floors
	ids       *ids
	firsts    *firsts
	hot       []*hot
	till      *till
	jobs      []*client             // of our own
	program   *program              // nil: there is no Python
	registers *registertest.History // of hot
	histories map[string]*history   // by table
}

// The tables of a round.
const (
	tableLog     = "log"
	tableCurrent = "current"
	tableCount   = "count"
	tableOnce    = "once"
	tableSum     = "sum"
	tableFirst   = "first"
	tableHot     = "hot"
	tableSales   = "sales"
	tableMinutes = "sales_per_minute"
)

var allTables = []string{tableLog, tableCurrent, tableCount, tableOnce, tableSum, tableFirst, tableHot, tableSales, tableMinutes}

// table is the name of a table in this round. The example has names of its own.
func (r *round) table(kind string) string {
	if kind == tableSales || kind == tableMinutes {
		return kind
	}
	return fmt.Sprintf("%s_%d", kind, r.number)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// round plays one round, which ends early if a contradiction shows.
func (h *harness) round(number int, span time.Duration) (err error) {
	r := &round{harness: h, number: number, dir: filepath.Join(h.options.out, "round-"+strconv.Itoa(number)),
		floors: &floors{least: map[int64]int64{}}, ids: &ids{word: map[int64]string{}, id: map[string]int64{}}, histories: map[string]*history{},
		firsts: newFirsts(), registers: registertest.New()}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	if err := h.nemesis.rest(); err != nil {
		return err
	}
	if err := r.makeTables(); err != nil {
		return err
	}
	if err := r.makeClients(); err != nil {
		return err
	}
	defer r.close()
	h.setDamaged(false)
	end := time.Now().Add(span)
	h.nemesis.look, h.nemesis.died, h.nemesis.put = r.look, r.registers.Died, r.prober.probe
	defer func() { h.nemesis.look, h.nemesis.died, h.nemesis.put = nil, nil, nil }()
	h.nemesis.server.kill()
	h.count("kills", 1)
	for time.Now().Before(end) && h.ctx.Err() == nil && !h.enough() {
		if err := h.nemesis.step(); err != nil {
			return err
		}
		h.progress(number)
	}
	if h.ctx.Err() != nil {
		return nil
	}
	if err := h.nemesis.rest(); err != nil {
		return err
	}
	h.setDamaged(false)
	return r.finish()
}

// makeTables makes the tables on a server that is well.
func (r *round) makeTables() error {
	random := dice(r.seed, fmt.Sprint("tables ", r.number))
	r.buckets = pick(random, int32(1), 3)
	r.log = shape{buckets: r.buckets}
	var divided []string // the partition columns of the registers
	if r.number%3 == 1 {
		r.log.column, r.log.parts = "part", parts
		divided = []string{"p"}
	}
	compression := pick(random, "as-sent", "as-sent", "none", "lz4", "zstd")
	r.nemesis.tables = nil
	source := ""
	c, err := dial(r.addr)
	if err != nil {
		return err
	}
	defer c.close()
	for _, t := range []struct {
		kind    string
		columns []quiver.ColumnSpec
		key     []string
		options map[string]string
	}{
		{tableLog, rowColumns, nil, nil},
		{tableCurrent, currentColumns, []string{"k"}, nil},
		{tableCount, countColumns, []string{"k"}, nil},
		{tableOnce, onceColumns, []string{"word"}, map[string]string{"auto-increment": "id"}},
		{tableSum, sumColumns, []string{"k"}, map[string]string{"merge-engine": "aggregation", "aggregate.total": "sum", "aggregate.times": "sum", "aggregate.largest": "max"}},
		{tableFirst, firstColumns, []string{"k"}, map[string]string{"merge-engine": "first-row"}},
		{tableHot, hotColumns, strings.Split(hotKey, ","), nil},
		{tableSales, salesColumns, nil, nil},
		{tableMinutes, minutesColumns, []string{"store", "minute"}, map[string]string{"merge-engine": "versioned", "merge-engine.version-column": "until"}},
	} {
		options := map[string]string{"segment.bytes": pick(random, "64KiB", "64KiB", "1MiB", "32MiB"), "compression": compression}
		maps.Copy(options, t.options)
		buckets := r.buckets
		body := flight.TableCreate{Table: flight.Named(r.table(t.kind)), Schema: flight.SchemaWord{Columns: t.columns},
			PrimaryKey: t.key, Buckets: &buckets, Options: options, IfNotExists: true}
		switch t.kind {
		case tableLog:
			if r.log.column != "" {
				body.PartitionBy = []string{r.log.column}
			}
		case tableHot:
			body.PartitionBy = divided
		case tableSales:
			body.BucketKey, body.Buckets = []string{"store"}, new(int32(salesBuckets))
		case tableMinutes:
			body.Comment = source
		}
		made, err := c.CreateTable(r.ctx, body)
		if err != nil {
			return err
		}
		source = fmt.Sprintf("counts %s, table %d", made.Table, made.TableID) // the example wants to know which log it counts
		r.nemesis.tables = append(r.nemesis.tables, made.TableID)
		if r.histories[t.kind], err = newHistory(r.dir, t.kind); err != nil {
			return err
		}
	}
	return nil
}

// client makes a client, which is started with its session.
func (r *round) client(kind, what string) *client {
	number := int32(len(r.clients))
	c := &client{world: r.world, number: number, name: fmt.Sprintf("%s-%d", what, number), table: r.table(kind), notes: r.histories[kind],
		random: dice(r.seed, fmt.Sprint("client ", r.number, " ", number)), ending: make(chan struct{}), over: make(chan struct{})}
	r.clients = append(r.clients, c)
	return c
}

// makeClients makes and starts all clients.
func (r *round) makeClients() error {
	for _, sequenced := range []bool{false, true, true} {
		p := &producer{client: r.client(tableLog, map[bool]string{false: "plain", true: "sequenced"}[sequenced]), sequenced: sequenced, shape: r.log}
		p.client.session = p.session
	}
	r.prober = &producer{client: r.client(tableLog, "prober"), shape: r.log}
	r.prober.client.session = r.prober.idle
	a := newAppender(r.client(tableLog, "named"))
	a.client.session = a.session
	for _, what := range []string{"follower", "cursor", "chooser", "chooser"} {
		f := newFollower(r.client(tableLog, what), r.log)
		f.client.session = map[string]func(context.Context, *conn) (bool, error){"follower": f.follow, "cursor": f.poll, "chooser": f.follow}[what]
		if what == "chooser" {
			f.choice = &choices[f.random.IntN(len(choices))]
		}
		r.followers = append(r.followers, f)
	}
	for range 2 {
		u := newUpserter(r.client(tableCurrent, "upserter"))
		u.client.session = u.session
		r.upserters = append(r.upserters, u)
	}
	r.view = &view{client: r.client(tableCurrent, "view"), key: "k"}
	r.view.client.session = r.view.session
	for range 2 {
		k := &counter{client: r.client(tableCount, "counter"), floors: r.floors}
		k.client.session = k.session
	}
	for range 2 {
		s := &inserter{client: r.client(tableOnce, "inserter"), ids: r.ids}
		s.client.session = s.session
	}
	for range 2 {
		f := &first{client: r.client(tableFirst, "first"), firsts: r.firsts}
		f.client.session = f.session
	}
	r.summer = newSummer(r.client(tableSum, "summer"))
	r.summer.client.session = r.summer.session
	for range hotClients {
		k := &hot{client: r.client(tableHot, "hot"), history: r.registers, seen: map[int64]int64{}}
		k.client.session = k.session
		r.hot = append(r.hot, k)
	}
	r.till = newTill(r.client(tableSales, "till"))
	r.till.client.session = r.till.session
	for range r.ownJobs() {
		j := &job{client: r.client(tableSales, "job")}
		j.client.session = j.session
		r.jobs = append(r.jobs, j.client)
	}
	for _, c := range r.clients {
		go c.run()
	}
	if r.options.python != "" && r.options.job != "" {
		r.program = r.newProgram(r.client(tableSales, "example"))
		go r.program.run()
	}
	if r.options.python == "" {
		return nil
	}
	var err error
	r.pyarrow, err = r.startPyarrow()
	return err
}

// finish lets the clients come to their ends on a server that is well, and judges.
func (r *round) finish() error {
	for _, c := range r.clients {
		if !r.isFollower(c) {
			c.finish()
		}
	}
	for _, c := range r.jobs {
		c.end() // no more sales come
	}
	if r.pyarrow != nil {
		if err := r.pyarrow.finish(); err != nil {
			r.violate("%v", err)
		}
	}
	c, err := dial(r.addr)
	if err != nil {
		return err
	}
	defer c.close()
	until, err := r.latest(c, tableLog)
	if err != nil {
		return r.ended(err)
	}
	for _, f := range r.followers {
		f.until = until
		f.finish()
	}
	if err := r.finishJobs(c); err != nil {
		return r.ended(err)
	}
	if r.view.until, err = r.latest(c, tableCurrent); err != nil {
		return r.ended(err)
	}
	r.view.finish()
	if r.bad() || r.ctx.Err() != nil {
		return nil
	}
	if err := r.judge(c); err != nil {
		return r.ended(err)
	}
	for _, kind := range allTables {
		if _, err := c.DropTable(r.ctx, flight.TableDrop{Table: flight.Named(r.table(kind))}); err != nil {
			return r.ended(err)
		}
	}
	r.nemesis.server.kill()
	r.count("kills", 1)
	r.count("rounds", 1)
	if _, err := r.nemesis.verify(r.ctx); err != nil || r.bad() {
		return err
	}
	if r.options.keep {
		return nil
	}
	return os.RemoveAll(r.dir)
}

// ownJobs is how many jobs of the harness count beside the example: one, in every second round, or two instead of it.
func (r *round) ownJobs() int {
	if r.options.python == "" || r.options.job == "" {
		return 2
	}
	return 1 - r.number%2
}

// finishJobs waits until all sales are counted, and ends the jobs.
func (r *round) finishJobs(c *conn) error {
	for end := time.Now().Add(patience); ; {
		lag, _, err := salesLag(r.ctx, c, tableSales)
		if err != nil {
			return err
		}
		if lag == 0 {
			break
		}
		if time.Now().After(end) {
			return broken("stuck: the jobs do not come to the end of the sales on a server that is well, %d are left", lag)
		}
		now, err := r.latest(c, tableMinutes)
		if err != nil {
			return err
		}
		if _, err := c.Wait(r.ctx, flight.LogWait{Table: flight.Named(tableMinutes), Offsets: shape{buckets: r.buckets}.offsets(now), TimeoutMS: new(int64(100))}); err != nil {
			return err
		}
	}
	for _, c := range r.jobs {
		c.finish()
	}
	if r.program != nil {
		r.program.finish()
	}
	return nil
}

// latest is where the buckets of a table end.
func (r *round) latest(c *conn, kind string) (map[int32]int64, error) {
	rows, err := c.Offsets(r.ctx, r.table(kind), flight.Position{Kind: flight.Latest})
	ends := map[int32]int64{}
	for _, row := range rows {
		partition := ""
		if row.Partition != nil {
			partition = *row.Partition
		}
		ends[placeOf(partition, row.Bucket)] = int64(row.Offset)
	}
	return ends, err
}

// isFollower tells those that end last, once it is known where.
func (r *round) isFollower(c *client) bool {
	return c == r.view.client || slices.Contains(r.jobs, c) || r.program != nil && c == r.program.client || slices.ContainsFunc(r.followers, func(f *follower) bool { return f.client == c })
}

// ended makes an error of a server that is well a contradiction, unless the run was ended.
func (r *round) ended(err error) error {
	if r.ctx.Err() == nil {
		var c contradiction
		if errors.As(err, &c) {
			r.violate("%s", c.what)
		} else {
			r.violate("refused: a server that is well answered: %v", err)
		}
	}
	return nil
}

// judge compares everything that is there with everything that was noted.
func (r *round) judge(c *conn) error {
	logs := []string{r.histories[tableLog].path}
	if r.pyarrow != nil {
		logs = append(logs, r.pyarrow.notes...)
	}
	told, err := tell(logs)
	if err != nil {
		return err
	}
	told.choices = map[int32]*choice{}
	for _, f := range r.followers {
		if f.choice != nil {
			told.choices[f.number] = f.choice
		}
	}
	faults, err := judgeLog(r.ctx, c, r.table(tableLog), r.log, told)
	for _, f := range faults {
		r.violate("%s", f)
	}
	if err != nil || len(faults) > 0 {
		return err
	}
	if err := judgeCurrent(r.ctx, c, r.table(tableCurrent), r.upserters, r.view); err != nil {
		return err
	}
	if err := judgeCounts(r.ctx, c, r.table(tableCount), []string{r.histories[tableCount].path}); err != nil {
		return err
	}
	if err := judgeOnce(r.ctx, c, r.table(tableOnce), r.ids); err != nil {
		return err
	}
	if err := judgeFirst(r.ctx, c, r.table(tableFirst), r.firsts); err != nil {
		return err
	}
	if err := judgeSums(r.ctx, c, r.table(tableSum), r.summer); err != nil {
		return err
	}
	if err := judgeHot(r.ctx, c, r.hot); err != nil {
		return err
	}
	return judgeSales(r.ctx, c, r.till)
}

// keyOf is the key column of a table.
func keyOf(kind string) string {
	switch kind {
	case tableOnce:
		return "word"
	case tableMinutes:
		return minutesKey
	case tableHot:
		return hotKey
	}
	return "k"
}

// minutesKey is that of what the sales come to.
const minutesKey = "store,minute"

// lookFor is how long a look may take.
const lookFor = 10 * time.Second

// look reads all tables of the round while clients write and bits may be flipped: what is shown is right, or refused.
func (r *round) look() {
	c, err := dial(r.addr)
	if err != nil {
		r.violate("the harness itself: %v", err)
		return
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(r.ctx, lookFor)
	defer cancel()
	for _, kind := range allTables {
		switch kind {
		case tableSales:
			err = readAll(ctx, c, flight.ScanCommand{Table: flight.Named(r.table(kind))}, func(s *flight.Scanner) error {
				_, err := salesOf(s.Batch())
				return err
			})
		case tableLog:
			err = readAll(ctx, c, flight.ScanCommand{Table: flight.Named(r.table(kind))}, func(s *flight.Scanner) error {
				if err := eachRow(s.Batch(), func(logRow) error { return nil }); err != nil {
					return broken("%v", err)
				}
				return nil
			})
		default:
			_, err = foldLog(ctx, c, r.table(kind), keyOf(kind), func(change) error { return nil })
		}
		if err != nil && ctx.Err() == nil && !r.passing(err) {
			r.violate("a look at %s: %v", r.table(kind), err)
		}
	}
	r.count("looks", 1)
}

// close ends whatever is left of the round.
func (r *round) close() {
	if r.ctx.Err() != nil {
		for _, c := range r.clients {
			c.end()
			<-c.over
		}
	}
	if r.pyarrow != nil {
		r.pyarrow.kill()
	}
	for _, h := range r.histories {
		_ = h.close() // every note was written through
	}
}
