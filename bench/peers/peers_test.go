package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPageIsMadeOfRawFiles holds the page and the plots against the raw files: no figure is typed.
func TestPageIsMadeOfRawFiles(t *testing.T) {
	const page, raw = "../../docs/peers.md", "../../docs/benchmarks/peers"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	results, err := loadResults(raw)
	if err != nil {
		t.Fatal(err)
	}
	written, err := replaceGenerated(string(text), results, "benchmarks/peers")
	if err != nil {
		t.Fatal(err)
	}
	if written != string(text) {
		t.Errorf("%s is not what the raw files say: `go run ./bench/peers -summary` writes it", page)
	}
	for _, r := range results {
		drawn, err := os.ReadFile(filepath.Join(raw, r.Job+".svg"))
		if err != nil || string(drawn) != plot(r) {
			t.Errorf("the plot of %s is not what its raw file says: %v", r.Job, err)
		}
	}
}

// TestPageNamesVersions holds the page's text against the files that name the versions.
func TestPageNamesVersions(t *testing.T) {
	page, err := os.ReadFile("../../docs/peers.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &packages{versions: map[string]string{}}
	for _, set := range []string{flussJars, flussClientJars, kafkaJars} {
		if err := p.noteVersions(filepath.Join("maven", set+".xml")); err != nil {
			t.Fatal(err)
		}
	}
	wanted, err := os.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(wanted)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), "==")
		p.versions[name] = version
	}
	for _, name := range []string{"fluss-server", "fluss-client", "kafka_2.13", "pyfluss", "pyarrow"} {
		if version := p.versions[name]; version == "" || !strings.Contains(string(page), name+" "+version) {
			t.Errorf("docs/peers.md does not say %q", name+" "+version)
		}
	}
}

func TestParsePOM(t *testing.T) {
	if _, err := parsePOM([]byte("no XML <")); err == nil {
		t.Error("something that is no XML was taken")
	}
	versions, err := parsePOM([]byte(`<project><dependencies><dependency><artifactId>a</artifactId><version>1.2</version>
		<exclusions><exclusion><artifactId>b</artifactId></exclusion></exclusions></dependency></dependencies></project>`))
	if err != nil || len(versions) != 1 || versions["a"] != "1.2" {
		t.Errorf("%v, %v", versions, err)
	}
}

// TestServersListenHere checks that no server is told another address than this machine's own.
func TestServersListenHere(t *testing.T) {
	files := flussFiles("/dir", []int{1, 2, 3})
	files["kafka"] = kafkaFile("/dir/data", []int{4, 5})
	for name, text := range files {
		if !strings.Contains(text, "127.0.0.1") || strings.Contains(text, "0.0.0.0") || strings.Contains(text, "://:") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, bad := range [][]string{{"-rounds", "0"}, {"surprise"}, {"-limit", "soon"}} {
		if _, err := parseFlags(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := choose("scan,nothing"); err == nil || !strings.Contains(err.Error(), "upsert") {
		t.Errorf("a job that is not there: %v", err)
	}
	if chosen, err := choose("tail, scan"); err != nil || len(chosen) != 2 {
		t.Errorf("%v, %v", chosen, err)
	}
}

func TestOneRunAtATime(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); err == nil {
		t.Error("two runs work in one directory")
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestOrders(t *testing.T) {
	o := order{"do": "scan", "rows": "3"}.with(order{"rows": "4", "conf": "a=b;c=d"})
	if got, want := o.line(), "conf=a=b;c=d\tdo=scan\trows=4\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	a, err := parseAnswer([]byte(`{"seconds":0.5,"rows":7,"times":[1,2],"failed":0,"error":""}`))
	if err != nil || a.Seconds != 0.5 || a.Rows != 7 || len(a.Times) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	for _, bad := range []string{"", "half a li", `{"error":"it broke"}`} {
		if _, err := parseAnswer([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, seed := range []string{`{"seconds":0.5,"rows":7,"times":[1,2]}`, `{"error":"it broke"}`, "half a li", `{"times":[-9]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if a, err := parseAnswer(line); err == nil {
			m := percentiles(a.Times)
			if int(m[requests]) != len(a.Times) || m[p50] > m[worst] {
				t.Errorf("%v of %v", m, a.Times)
			}
		}
	})
}

// shell is a client whose answers a shell gives.
func shell(t *testing.T, script string) *client {
	t.Helper()
	p := &peers{dir: t.TempDir(), launcher: newLauncher()}
	t.Cleanup(p.launcher.close)
	c, err := p.newClient("shell", exec.Command("sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestClient(t *testing.T) {
	c := shell(t, `while read line; do echo '{"rows":5}'; done`)
	for range 3 {
		if a, err := c.do(t.Context(), order{"do": "anything"}); err != nil || a.Rows != 5 {
			t.Fatalf("%+v, %v", a, err)
		}
	}
}

// TestClientThatDies checks that its last words are told.
func TestClientThatDies(t *testing.T) {
	c := shell(t, `read line; echo "out of luck" >&2; exit 1`)
	if _, err := c.do(t.Context(), order{"do": "anything"}); err == nil || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("%v", err)
	}
}

// TestClientThatHangs checks that the end of a run, as by Ctrl-C, ends its clients.
func TestClientThatHangs(t *testing.T) {
	c := shell(t, `read line; exec sleep 1000`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.do(ctx, order{"do": "anything"}); err == nil {
		t.Error("a client that hangs gave an answer")
	}
	<-c.ended
}

func TestProcessesAreStopped(t *testing.T) {
	l := newLauncher()
	defer l.close()
	p, err := l.start(t.TempDir(), "sleeper", exec.Command("sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	select {
	case <-p.ended:
	default:
		t.Error("it still runs")
	}
	if _, err := l.start(t.TempDir(), "nobody", exec.Command("/no/such/program")); err == nil {
		t.Error("a program that is not there was started")
	}
}

func TestOnce(t *testing.T) {
	dir := t.TempDir()
	from, target := filepath.Join(dir, "from"), filepath.Join(dir, "made")
	runs := func() int {
		entries, err := filepath.Glob(filepath.Join(dir, "ran*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	make := func(version string) error {
		if err := os.WriteFile(from, []byte(version), 0o644); err != nil {
			t.Fatal(err)
		}
		return once(t.Context(), target, []string{from}, t.Logf, "sh", "-c", `mktemp "$0/ranXXXXXX"`, dir)
	}
	for i, version := range []string{"1", "1", "2", "2"} {
		if err := make(version); err != nil || runs() != i/2+1 {
			t.Errorf("version %s: made %d times, %v", version, runs(), err)
		}
	}
	if err := once(t.Context(), target, []string{from}, t.Logf, "false"); err != nil {
		t.Errorf("what was made was made again: %v", err)
	}
	if err := os.WriteFile(from, []byte("3"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := once(t.Context(), target, []string{from}, t.Logf, "false"); err == nil {
		t.Error("a command that failed made something")
	}
}

// TestDatasets checks that the sets have the sizes that they promise, and that records say what batches say.
func TestDatasets(t *testing.T) {
	p := &peers{options: &options{work: t.TempDir(), quick: true}}
	for _, test := range []struct {
		set         *dataset
		least, most float64 // bytes a row
	}{
		{bids(1000, 3), 100, 125},
		{wide20(500, 3), 225, 245},
		{keyed("every", 512, 4, 2048, true, 0), 80, 110},
		{keyed("updates", 512, 4, 2048, false, 1), 80, 110},
	} {
		f, err := p.data(test.set, 700)
		if err != nil {
			t.Fatal(err)
		}
		if f.rowBytes < test.least || f.rowBytes > test.most {
			t.Errorf("%s has %.1f bytes a row, not %v to %v", f.name, f.rowBytes, test.least, test.most)
		}
		records, err := os.ReadFile(f.records)
		if err != nil {
			t.Fatal(err)
		}
		batches, err := f.held()
		if err != nil {
			t.Fatal(err)
		}
		for row := range f.recorded {
			want := appendRecord(nil, batches[row/f.batch], row%f.batch)
			size := int(records[2])<<8 | int(records[3])
			if size != len(want) || !bytes.Equal(records[4:4+size], want) {
				t.Fatalf("%s: record %d is not the row", f.name, row)
			}
			records = records[4+size:]
		}
		if len(records) > 0 || len(batches) != f.batches {
			t.Errorf("%s: %d bytes and %d batches", f.name, len(records), len(batches))
		}
		if got := f.bytesOf(nil); got != f.rowBytes {
			t.Errorf("%s: all columns have %v bytes, rows have %v", f.name, got, f.rowBytes)
		}
		releaseAll(batches)
	}
}

// TestEveryKeyOnce checks the order that tears keys apart.
func TestEveryKeyOnce(t *testing.T) {
	const keys = 2048
	d := keyed("every", 512, keys/512, keys, true, 0)
	var seen []int64
	for i := range d.batches {
		batch := d.generate(i)
		seen = append(seen, batch.Column(0).(*array.Int64).Int64Values()...)
		batch.Release()
	}
	slices.Sort(seen)
	for i, key := range seen {
		if key != int64(i) {
			t.Fatalf("key %d at place %d", key, i)
		}
	}
}

// someResult has two arms, the second of which was disturbed in its second round.
func someResult() *result {
	of := func(system, durable string, speeds ...float64) armResult {
		a := armResult{arm: arm{System: system, Client: "c", Setting: defaults, Durable: durable}}
		for i, v := range speeds {
			a.Samples = append(a.Samples, sample{Metrics: metrics{rowsPerSec: v, p50: 1000 / v}, Loaded: i == 1 && system == kafkaName, Foreign: float64(i)})
		}
		return a
	}
	r := &result{Job: "scan", Title: "Full scan", Notes: []string{"A note."}, ForeignLimit: foreignLimit,
		Arms: []armResult{of(quiverName, synced, 100, 200, 300), of(kafkaName, pageCache, 50, 4000, 600)}}
	for _, metric := range []string{rowsPerSec, p50} {
		r.pair(metric, &r.Arms[0].arm, &r.Arms[1].arm)
	}
	return r
}

func TestDisturbedSamplesAreThrownOut(t *testing.T) {
	r := someResult()
	for i := range r.Pairs {
		values, disturbed := r.ratios(&r.Pairs[i])
		if len(values) != 2 || math.Abs(values[0]-2) > 1e-9 || math.Abs(values[1]-0.5) > 1e-9 || disturbed {
			t.Errorf("%s: ratios %v, %v", r.Pairs[i].Metric, values, disturbed)
		}
	}
	if values := r.Arms[1].values(rowsPerSec); !slices.Equal(values, []float64{50, 600}) {
		t.Errorf("values %v", values)
	}
	for i := range r.Arms[1].Samples {
		r.Arms[1].Samples[i].Loaded = true
	}
	if values, disturbed := r.ratios(&r.Pairs[0]); len(values) != 3 || !disturbed {
		t.Errorf("all disturbed: %v, %v", values, disturbed)
	}
	if text := oneJob(r, "raw"); strings.Count(text, "†") != 4 || !strings.Contains(text, "**0.500 †**") && !strings.Contains(text, "0.500") {
		t.Errorf("not marked:\n%s", text)
	}
}

// TestLossesAreTold checks that the page names what Quiver is slower in, with what an acknowledgement means on both sides.
func TestLossesAreTold(t *testing.T) {
	r := someResult()
	r.Arms[1].Samples[0].Metrics = metrics{rowsPerSec: 1000, p50: 1}
	text := losses([]*result{r})
	if !strings.Contains(text, "In 2 of the 2 comparisons") || strings.Count(text, "Quiver, c, defaults ("+synced+") | Kafka, c, defaults ("+pageCache+")") != 2 {
		t.Errorf("%s", text)
	}
	r.Arms[1].Samples = nil
	if text := losses([]*result{r}); !strings.Contains(text, "In none of the 0") {
		t.Errorf("%s", text)
	}
}

func TestReplaceGenerated(t *testing.T) {
	page := "before\n" + generatedBegin + "\nold\n" + generatedEnd + "\nafter\n"
	written, err := replaceGenerated(page, []*result{someResult()}, "raw")
	if err != nil || !strings.HasPrefix(written, "before\n") || !strings.HasSuffix(written, "\nafter\n") || strings.Contains(written, "old") {
		t.Errorf("%v: %s", err, written)
	}
	if again, err := replaceGenerated(written, []*result{someResult()}, "raw"); err != nil || again != written {
		t.Errorf("another writing makes another page: %v", err)
	}
	if _, err := replaceGenerated("nothing", nil, "raw"); err == nil {
		t.Error("a page without a place was written")
	}
}

// TestPlot checks that bars stay inside, on both kinds of axis, and that every arm has one.
func TestPlot(t *testing.T) {
	r := someResult()
	text := plot(r)
	if !strings.HasPrefix(text, "<svg ") || strings.Count(text, "<rect") != 3 || !strings.Contains(text, "linear axis") {
		t.Errorf("%s", text)
	}
	r.Arms[0].Samples[0].Metrics[rowsPerSec] = 1
	if text := plot(r); !strings.Contains(text, "logarithmic axis") {
		t.Errorf("%s", text)
	}
	_, bars := barsOf(r)
	scale, _ := scaleOf(bars)
	for _, b := range bars {
		for _, v := range []float64{b.low, b.median, b.high, 0} {
			if at := scale(v); at < labelEnd || at > barsEnd+0.01 {
				t.Errorf("%v lies at %v", v, at)
			}
		}
	}
	if plot(&result{Title: "nothing"}) == "" {
		t.Error("no plot of nothing")
	}
}

func TestPercentiles(t *testing.T) {
	var times []int64
	for i := range int64(1000) {
		times = append(times, (i+1)*int64(time.Microsecond))
	}
	m := percentiles(append(times, int64(time.Hour)))
	if m[p50] < 0.49 || m[p50] > 0.51 || m[p99] < 0.98 || m[p99] > 1.0 || m[worst] < 59_000 || m[requests] != 1001 {
		t.Errorf("%v", m)
	}
}
