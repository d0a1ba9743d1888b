package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// bid is what a count is made of.
type bid struct {
	Auction int64 `json:"auction"`
	Price   int64 `json:"price"`
	Offset  int64 `json:"__offset"`
}

func decodeLines[T any](t *testing.T, text string) (rows []T) {
	t.Helper()
	for decoder := json.NewDecoder(strings.NewReader(text)); decoder.More(); {
		var row T
		if err := decoder.Decode(&row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// TestDemoCounts compares the counts of several runs with those of the whole log, when a run begins where the one before
// ended, and when it begins too early.
func TestDemoCounts(t *testing.T) {
	serve(t, "")
	for run := range 3 {
		mustInvoke(t, "demo", "--rows", "400", "--rate", "1m/s", "--count", "auction")
		if run == 1 {
			mustInvoke(t, "cursor", "reset", "bids_by_auction", "bids", "--to", "100", "-y")
		}
	}
	out, _ := mustInvoke(t, "scan", "bids", "--columns", "auction,price,__offset")
	want := map[int64]tally{}
	for _, b := range decodeLines[bid](t, out) {
		have := want[b.Auction]
		want[b.Auction] = tally{have.bids + 1, max(have.highest, b.Price), b.Offset + 1}
	}
	out, _ = mustInvoke(t, "scan", "bids_by_auction")
	rows := decodeLines[struct{ Auction, Bids, Highest, Until int64 }](t, out)
	for _, row := range rows {
		if got := (tally{row.Bids, row.Highest, row.Until}); got != want[row.Auction] {
			t.Errorf("auction %d is counted as %+v, it is %+v", row.Auction, got, want[row.Auction])
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%d auctions are counted, there are %d", len(rows), len(want))
	}
}

func TestBoard(t *testing.T) {
	var out bytes.Buffer
	b := &board{out: &out, counts: map[any]tally{}, schema: arrow.NewSchema([]arrow.Field{
		{Name: "channel", Type: textColumn}, {Name: "bids", Type: intColumn}, {Name: "highest", Type: intColumn}, {Name: "until", Type: intColumn}}, nil)}
	started := time.Unix(0, 0)
	b.counts["Apple"] = tally{bids: 3, highest: 90, until: 5}
	b.counts["Baidu"] = tally{bids: 3, highest: 70, until: 6}
	b.draw(started)
	b.counts["Baidu"] = tally{bids: 7, highest: 70, until: 10}
	b.draw(started.Add(2 * time.Second))
	b.erase()
	b.erase()
	const want = `channel  bids  highest  until
───────  ────  ───────  ─────
Apple       3       90      5
Baidu       3       70      6
2 rows
6 counted
` + "\x1b[6A\r\x1b[J" + `channel  bids  highest  until
───────  ────  ───────  ─────
Baidu       7       70     10
Apple       3       90      5
2 rows
10 counted, 2 rows/s
` + "\x1b[6A\r\x1b[J"
	if out.String() != want {
		t.Errorf("the board is\n%q\nwant\n%q", out.String(), want)
	}
}
