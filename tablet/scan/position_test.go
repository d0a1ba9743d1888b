package scan

import (
	"strings"
	"testing"

	"github.com/quiverlog/quiver"
)

// TestResolve lists what each position comes to in a table of two buckets: [10, 30) with a row a millisecond from
// 1010 on, and an empty one.
func TestResolve(t *testing.T) {
	table := testTable(t, 2)
	a, b := newBucket(t, table, 0), newBucket(t, table, 1)
	for i := range int64(40) {
		a.stage(row{timestamp: 1000 + i})
	}
	a.start, a.high = 10, 30
	none := Range{ID: b.ID()}
	forever := Range{ID: b.ID(), Until: NoEnd}
	in := func(from, until quiver.Offset) Range { return Range{ID: a.ID(), From: from, Until: until} }
	all := in(10, 30)
	offsets := func(o map[int32]quiver.Offset) Position { return Position{Place: AtOffsets, Offsets: o} }
	at := func(o quiver.Offset) Position { return Position{Place: AtOffset, Offset: o} }
	time := func(ms int64) Position { return Position{Place: AtTimestamp, Timestamp: ms} }
	for _, test := range []struct {
		name        string
		from, until Position
		follow      bool
		want        []Range // one range: bucket 0 alone is read
		reason      quiver.Reason
		text        string
	}{
		{name: "all", want: []Range{all, none}},
		{name: "words", from: Position{Place: Earliest}, until: Position{Place: Latest}, want: []Range{all, none}},
		{name: "from now", from: Position{Place: Latest}, want: []Range{in(30, 30), none}},
		{name: "one bucket", from: at(12), until: at(20), want: []Range{in(12, 20)}},
		{name: "one offset for two", from: at(12), want: []Range{all, none}, reason: quiver.BadCommand, text: "from names one offset, but 2 buckets are read"},
		{name: "vectors", from: offsets(map[int32]quiver.Offset{0: 15}), until: offsets(map[int32]quiver.Offset{0: 16}), want: []Range{in(15, 16), none}},
		{name: "a vector without the bucket", from: offsets(nil), want: []Range{all, none}},
		{name: "an end without the bucket", until: offsets(nil), want: []Range{in(10, 10), none}},
		{name: "an unknown bucket", from: offsets(map[int32]quiver.Offset{2: 0}), want: []Range{all, none}, reason: quiver.BucketNotFound, text: "bucket 2, the table has 2"},
		{name: "times", from: time(1012), until: time(1020), want: []Range{in(12, 20), none}},
		{name: "a time before the first", from: time(5), want: []Range{all, none}},
		{name: "a time after the last", from: time(5000), want: []Range{in(30, 30), none}},
		{name: "below the earliest", from: at(9), want: []Range{all}, reason: quiver.OffsetOutOfRange, text: "offset 9 is below the earliest: earliest 10, latest 30"},
		{name: "above the latest", from: at(31), follow: true, want: []Range{all}, reason: quiver.OffsetOutOfRange, text: "offset 31 is above the latest: earliest 10, latest 30"},
		{name: "an end beyond now", until: at(99), want: []Range{all}},
		{name: "an end beyond now, awaited", until: at(99), follow: true, want: []Range{in(10, 99)}},
		{name: "an end below the start", from: at(20), until: at(15), want: []Range{in(20, 20)}},
		{name: "for ever", follow: true, want: []Range{in(10, NoEnd), forever}},
		{name: "a time to come, awaited", until: time(5000), follow: true, want: []Range{{ID: a.ID(), From: 10, Until: NoEnd, UntilTime: 5000}, {ID: b.ID(), Until: NoEnd, UntilTime: 5000}}},
		{name: "a time to come", until: time(5000), want: []Range{all, none}},
		{name: "until the earliest", until: Position{Place: Earliest}, want: []Range{in(10, 10), none}},
	} {
		t.Run(test.name, func(t *testing.T) {
			buckets := []Source{a, b}[:len(test.want)]
			got, err := Resolve(t.Context(), table, buckets, test.from, test.until, test.follow)
			if test.reason != "" {
				if quiver.ReasonOf(err) != test.reason || !strings.Contains(err.Error(), test.text) {
					t.Fatalf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range got {
				if r != test.want[i] {
					t.Errorf("bucket %d: %+v, want %+v", i, r, test.want[i])
				}
			}
		})
	}
}

// TestSelect lists how names become columns.
func TestSelect(t *testing.T) {
	schema := testTable(t, 1).Schema
	for _, test := range []struct {
		columns, system []string
		want            string // or the error
		changelog       bool
	}{
		{nil, nil, "id name flag tags", false},
		{[]string{}, nil, "", false},
		{[]string{"tags", "id"}, nil, "tags id", false},
		{nil, []string{"__offset", "__bucket"}, "id name flag tags __offset __bucket", false},
		{[]string{"__offset", "id"}, nil, "__offset id", false},
		{[]string{"__offset", "id"}, []string{"__bucket", "__offset"}, "id __bucket __offset", false},
		{[]string{}, []string{"__timestamp", "__partition"}, "__timestamp __partition", false},
		{[]string{"id", "id"}, nil, `BAD_COMMAND: column "id" is named twice; name it once`, false},
		{[]string{"nam"}, nil, `BAD_COMMAND: there is no column "nam"; did you mean "name"?`, false},
		{[]string{"zzz"}, nil, `BAD_COMMAND: there is no column "zzz"; see table.describe`, false},
		{nil, []string{"__offsets"}, `BAD_COMMAND: there is no system column "__offsets"; did you mean "__offset"?`, false},
		{nil, nil, "id name flag tags __change_type", true},
		{nil, []string{"__offset", "__change_type"}, "id name flag tags __offset __change_type", true},
		{[]string{"__change_type", "id"}, nil, "__change_type id", true},
		{[]string{"__change_type", "id"}, []string{"__change_type", "__bucket", "__change_type"}, "id __change_type __bucket", true},
		{nil, []string{"id"}, `BAD_COMMAND: there is no system column "id"; see table.describe`, true},
		{nil, []string{"__change_type"}, `BAD_COMMAND: there is no system column "__change_type"; see table.describe`, false},
	} {
		schema := schema
		if test.changelog {
			schema = schema.WithChangeType()
		}
		columns, err := Select(schema, test.columns, test.system)
		var got string
		if err != nil {
			got = err.Error()
		} else {
			out, err := OutputSchema(schema, columns)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, f := range out.Fields() {
				names = append(names, f.Name)
			}
			got = strings.Join(names, " ")
		}
		if got != test.want {
			t.Errorf("columns %q, system %q:\n got %s\nwant %s", test.columns, test.system, got, test.want)
		}
	}
}
