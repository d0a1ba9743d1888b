package node

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/quiverlog/quiver/internal/fs"
)

// scrape asks a node for its metrics as a monitoring system does, and parses the answer.
func scrape(t testing.TB, r *running) map[string]*dto.MetricFamily {
	t.Helper()
	answer := httptest.NewRecorder()
	r.newHTTP().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK || !strings.HasPrefix(answer.Header().Get("Content-Type"), "text/plain") {
		t.Fatal(answer.Code, answer.Header(), answer.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value is a counter's or gauge's, or how much a histogram counted, of the series with these labels.
func value(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	for _, m := range families[name].GetMetric() {
		var has []string
		for _, l := range m.GetLabel() {
			has = append(has, l.GetName()+"="+l.GetValue())
		}
		if !slices.Equal(has, labels) {
			continue
		}
		switch {
		case m.Counter != nil:
			return m.Counter.GetValue()
		case m.Gauge != nil:
			return m.Gauge.GetValue()
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount())
		}
	}
	return -1 // no such series
}

// work is a workload that is known to the last row: it uses every part of a node.
func work(t testing.TB, r *running) {
	t.Helper()
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range int64(3) { // the first one makes the table; each is a group of its own
		must(r.put(ctx, map[string]any{"put": "events"}, rows(10*i, 10*i+10)))
	}
	must(r.action(ctx, "writer.init", ""))
	again := map[string]any{"put": "events", "writer_id": 1, "writer_epoch": 0, "sequence": 0}
	must(r.put(ctx, again, rows(30, 40)))
	must(r.put(ctx, again, rows(30, 40)))
	if _, err := r.put(ctx, map[string]any{"put": "events", "expect_offset": 5}, rows(0, 1)); err == nil {
		t.Fatal("an expectation that does not hold was fulfilled")
	}
	must(r.get(ctx, `{"table":"events"}`))
	must(r.get(ctx, `{"table":"events","follow":true,"limit":40}`))
	must(r.get(ctx, `{"table":"events","filter":"n < 10"}`))
	if _, err := r.get(ctx, `{"table":"nothing"}`); err == nil {
		t.Fatal("a table that is not there was read")
	}
	must(r.action(ctx, "table.create", `{"table":"days","partition_by":["n"],"buckets":2,"schema":[{"name":"n","type":"int64","nullable":false},{"name":"text","type":"string"}]}`))
	must(r.put(ctx, map[string]any{"put": "days"}, rows(0, 3)))
	must(r.action(ctx, "log.delete-before", `{"table":"events","offsets":{"0":15}}`))
}

func TestMetricsCountAKnownWorkload(t *testing.T) {
	r := start(t, fs.NewMem())
	work(t, r)
	got := scrape(t, r)
	for _, want := range []struct {
		name   string
		labels []string
		value  float64
	}{
		{"quiver_calls_total", []string{"call=DoPut"}, 7},
		{"quiver_calls_total", []string{"call=DoGet"}, 4},
		{"quiver_calls_total", []string{"call=DoAction"}, 3},
		{"quiver_errors_total", []string{"call=DoPut", "reason=EXPECTED_OFFSET_MISMATCH"}, 1},
		{"quiver_errors_total", []string{"call=DoGet", "reason=TABLE_NOT_FOUND"}, 1},
		{"quiver_action_seconds", []string{"action=writer.init"}, 1},
		{"quiver_panics_total", nil, 0},

		{"quiver_put_streams_total", nil, 7},
		{"quiver_put_streams_open", nil, 0},
		{"quiver_put_messages_total", nil, 7},
		{"quiver_put_batches_total", nil, 6},
		{"quiver_put_rows_total", nil, 53},
		{"quiver_put_duplicate_batches_total", nil, 1},
		{"quiver_put_tables_created_total", nil, 1},
		{"quiver_put_gate_seconds", nil, 7},
		{"quiver_put_durable_seconds", nil, 6},
		{"quiver_put_memory_bytes", nil, 0},
		{"quiver_put_memory_waits_total", nil, 0},
		{"quiver_put_memory_limit_bytes", nil, DefaultPutMemory},

		{"quiver_log_group_units", nil, 7},
		{"quiver_log_group_bytes", nil, 7},
		{"quiver_log_write_seconds", nil, 7},
		{"quiver_log_sync_seconds", nil, 7},
		{"quiver_log_staged_units", nil, 0},
		{"quiver_log_appended_rows_total", nil, 43},
		{"quiver_log_appended_batches_total", nil, 7},
		{"quiver_log_merged_units_total", nil, 0},
		{"quiver_log_rolls_total", nil, 4},
		{"quiver_log_segments", nil, 4},
		{"quiver_log_open_buckets", nil, 4},
		{"quiver_log_recovery_seconds", nil, 4},
		{"quiver_log_deleted_rows_total", nil, 15},
		{"quiver_disk_fenced", nil, 0},
		{"quiver_tablet_leaderships_total", nil, 4},
		{"quiver_tablet_leaders", nil, 4},

		{"quiver_get_streams_total", nil, 3},
		{"quiver_get_streams_open", nil, 0},
		{"quiver_follow_streams_open", nil, 0},
		{"quiver_get_batches_total", nil, 3},
		{"quiver_get_rows_total", nil, 90},
		{"quiver_scan_batches_read_total", nil, 12},
		{"quiver_scan_batches_merged_total", nil, 8},
		{"quiver_scan_batches_skipped_total", nil, 0},
		{"quiver_follow_lag_rows", nil, 1},
		{"quiver_follow_delay_seconds", nil, 1},
		{"quiver_table_put_rows_total", []string{"table=default.events"}, 50},
		{"quiver_table_get_rows_total", []string{"table=default.events"}, 90},
		{"quiver_table_put_rows_total", []string{"table=other"}, 0},

		{"quiver_coordinator_commands_total", []string{"command=create-table", "outcome=done"}, 2},
		{"quiver_coordinator_commands_total", []string{"command=init-writer", "outcome=done"}, 1},
		{"quiver_tables", nil, 2},
		{"quiver_databases", nil, 1},
		{"quiver_writers", nil, 1},
		{"quiver_partitions", nil, 3},
		{"quiver_cursors", nil, 0},
		{"quiver_put_partitions_created_total", nil, 3},
		{"quiver_put_divided_batches_total", nil, 1},
		{"quiver_scan_rows_filtered_total", nil, 30},
		{"quiver_node_ready", nil, 1},
		{"quiver_node_draining", nil, 0},
	} {
		if value := value(got, want.name, want.labels...); value != want.value {
			t.Errorf("%s%v is %v, want %v", want.name, want.labels, value, want.value)
		}
	}
	for _, name := range []string{"quiver_log_read_bytes_total", "quiver_put_received_bytes_total", "quiver_get_sent_bytes_total", "quiver_log_size_bytes", "quiver_log_appended_bytes_total"} {
		if value(got, name) <= 0 {
			t.Errorf("%s is %v", name, value(got, name))
		}
	}
}

// TestMetricsOfADroppedTableGo shows that the label of a table lives as long as the table.
func TestMetricsOfADroppedTableGo(t *testing.T) {
	r := start(t, fs.NewMem())
	work(t, r)
	if _, err := r.action(t.Context(), "table.drop", `{"table":"events"}`); err != nil {
		t.Fatal(err)
	}
	got := scrape(t, r)
	if n := value(got, "quiver_table_put_rows_total", "table=default.events"); n != -1 {
		t.Errorf("the dropped table still has %v rows put into it", n)
	}
	if n := value(got, "quiver_put_rows_total"); n != 53 {
		t.Errorf("rows put into all tables: %v", n)
	}
}

// TestMetricsAreWellNamed holds every metric to the conventions of Prometheus, and ours.
func TestMetricsAreWellNamed(t *testing.T) {
	r := start(t, fs.NewMem())
	work(t, r)
	problems, err := testutil.GatherAndLint(r.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "quiver_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	got := scrape(t, r)
	for name, family := range got {
		if !strings.HasPrefix(name, "quiver_") {
			if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "promhttp_") {
				t.Errorf("%s: ours begin with quiver_", name)
			}
			continue
		}
		help := family.GetHelp()
		if !strings.HasSuffix(help, ".") || len(help) < 10 {
			t.Errorf("%s: the help is no sentence: %q", name, help)
		}
		total := strings.HasSuffix(name, "_total")
		if total != (family.GetType() == dto.MetricType_COUNTER) {
			t.Errorf("%s is a %v", name, family.GetType())
		}
		base := strings.TrimSuffix(name, "_total")
		if !regexp.MustCompile(`^quiver_[a-z]+(_[a-z]+)*$`).MatchString(base) {
			t.Errorf("%s: small letters and underscores", name)
		}
		if total && got[base] != nil {
			t.Errorf("%s and %s are one name to OpenMetrics", name, base)
		}
	}
	for _, name := range described(r.registry) {
		if got[name] == nil {
			t.Errorf("%s was not shown by a workload that uses everything", name)
		}
	}
}

// described lists the metrics of ours that are registered, whether they have a series or not.
func described(r *prometheus.Registry) (names []string) {
	ch := make(chan *prometheus.Desc)
	go func() {
		r.Describe(ch)
		close(ch)
	}()
	name := regexp.MustCompile(`fqName: "(quiver_[a-z_]+)"`)
	for d := range ch {
		if found := name.FindStringSubmatch(d.String()); found != nil {
			names = append(names, found[1])
		}
	}
	return names
}

func TestVersion(t *testing.T) {
	r := start(t, fs.NewMem())
	answer := httptest.NewRecorder()
	r.newHTTP().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/version", nil))
	body, _ := io.ReadAll(answer.Body)
	for _, key := range []string{`"version":`, `"commit":`, `"go":"go1.`, `"format":1`, `"wire":1`, `"started":"20`} {
		if !strings.Contains(string(body), key) {
			t.Errorf("%s is missing in %s", key, body)
		}
	}
}

func TestProfilesAreForThisMachine(t *testing.T) {
	h := local(profiles())
	for _, c := range []struct {
		peer, host string
		header     string
		want       int
	}{
		{"127.0.0.1:5000", "127.0.0.1:8816", "", 200},
		{"127.8.0.1:5000", "localhost:8816", "", 200},
		{"[::1]:5000", "[::1]:8816", "", 200},
		{"[::ffff:127.0.0.1]:5000", "localhost", "", 200},
		{"192.168.1.5:5000", "127.0.0.1:8816", "", 403},
		{"[2001:db8::1]:5000", "localhost:8816", "", 403},
		{"192.168.1.5:5000", "192.168.1.5:8816", "X-Forwarded-For: 127.0.0.1", 403},
		{"127.0.0.1:5000", "127.0.0.1:8816", "X-Forwarded-For: 203.0.113.7", 403},
		{"127.0.0.1:5000", "127.0.0.1:8816", "X-Forwarded-For: 127.0.0.1", 403},
		{"127.0.0.1:5000", "127.0.0.1:8816", "Forwarded: for=127.0.0.1", 403},
		{"127.0.0.1:5000", "rebound.example:8816", "", 403},
		{"", "localhost", "", 403},
	} {
		request := httptest.NewRequest(http.MethodGet, "/debug/pprof/cmdline", nil)
		request.RemoteAddr, request.Host = c.peer, c.host
		if name, value, found := strings.Cut(c.header, ": "); found {
			request.Header.Set(name, value)
		}
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, request)
		if answer.Code != c.want {
			t.Errorf("peer %s, host %s, %q: %d, want %d", c.peer, c.host, c.header, answer.Code, c.want)
		}
		if c.want == 403 && !strings.Contains(answer.Body.String(), "ssh -L") {
			t.Errorf("the refusal tells no way out: %s", answer.Body)
		}
	}
}

// TestADrainIsSeenBeforeItEnds shows the order: not ready, metrics still told, and no end before what was sent is read.
func TestADrainIsSeenBeforeItEnds(t *testing.T) {
	r := start(t, fs.NewMem())
	for i := range int64(4) {
		if _, err := r.put(t.Context(), map[string]any{"put": "events"}, rows(i*100_000, (i+1)*100_000)); err != nil {
			t.Fatal(err)
		}
	}
	reading, leave := context.WithCancel(t.Context())
	defer leave()
	slow, err := r.client.DoGet(reading, &afl.Ticket{Ticket: []byte(`{"table":"events"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Recv(); err != nil { // the schema; nothing is read behind it, so the call cannot end
		t.Fatal(err)
	}
	drained := make(chan struct{})
	go func() { r.drain(); close(drained) }()
	for !r.draining.Load() {
		select {
		case <-drained:
			t.Fatal("the drain ended before the last call")
		default:
		}
	}
	if value := value(scrape(t, r), "quiver_node_draining"); value != 1 {
		t.Errorf("quiver_node_draining is %v", value)
	}
	answer := httptest.NewRecorder()
	r.newHTTP().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "the server is draining") {
		t.Error(answer.Code, answer.Body)
	}
	leave()
	<-drained
}

// TestReadyWhileTheDiskIsFull: a server that takes no puts still serves reads, so it stays ready, and notes it.
func TestReadyWhileTheDiskIsFull(t *testing.T) {
	mem := fs.NewMem()
	mem.SetCapacity(1 << 30)
	now := time.UnixMilli(1_700_000_000_000)
	n, err := Open(Options{Data: "/data", FS: mem, FlightAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", DiskReserve: 1 << 29,
		Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	n.serving.Store(true)
	ready := func() (int, string) {
		answer := httptest.NewRecorder()
		n.newHTTP().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return answer.Code, answer.Body.String()
	}
	if code, body := ready(); code != http.StatusOK || !strings.Contains(body, `"notes":[]`) {
		t.Error(code, body)
	}
	mem.SetCapacity(1 << 28)
	now = now.Add(2 * time.Second) // the disk is asked again
	if code, body := ready(); code != http.StatusOK || !strings.Contains(body, `"ready":true`) || !strings.Contains(body, "puts are refused: DISK_FULL: ") {
		t.Error(code, body)
	}
}
