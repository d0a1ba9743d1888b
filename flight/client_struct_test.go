package flight

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// offline is an appender that sends nothing: what it cuts waits in its queue.
func offline(mem memory.Allocator, o AppendOptions) *Appender {
	o.Linger = -1
	return &Appender{client: &Client{options: ClientOptions{Allocator: mem}}, options: o.withDefaults(), table: Named("shop.orders"),
		next: quiver.NoSequence, expect: NoExpectation, wake: make(chan struct{}, 1), news: make(chan struct{})}
}

// rowsOffline makes Rows without a server; the schema is the table's, nil for none.
func rowsOffline[T any](t testing.TB, a *Appender, table *arrow.Schema) *Rows[T] {
	t.Helper()
	set, err := newRowSet(a, rowKind{typ: reflect.TypeFor[T]()}, table)
	if err != nil {
		t.Fatal(err)
	}
	return &Rows[T]{set: set, row: set.slot.Addr().Interface().(*T)}
}

func schemaOf(t testing.TB, columns ...string) *arrow.Schema {
	t.Helper()
	var fields []arrow.Field
	for _, c := range columns {
		name, text, _ := strings.Cut(c, " ")
		typ, err := quiver.ParseType(text)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, arrow.Field{Name: name, Type: typ, Nullable: true})
	}
	return arrow.NewSchema(fields, nil)
}

type point struct {
	A int8   `arrow:"a"`
	B string `arrow:"b"`
}

type kilo int64

type Common struct {
	ID kilo `arrow:"id"`
}

// everything has a field of every kind.
type everything struct {
	Common
	Yes      bool           `arrow:"yes"`
	Small    int16          `arrow:"small"`
	Wide     uint64         `arrow:"wide"`
	Half     float16.Num    `arrow:"half"`
	Real     float32        `arrow:"real"`
	Text     string         `arrow:"text"`
	Bytes    []byte         `arrow:"bytes"`
	UUID     [4]byte        `arrow:"uuid"`
	Price    decimal128.Num `arrow:"price,type=decimal128(12, 2)"`
	At       time.Time      `arrow:"at"`
	Took     time.Duration  `arrow:"took"`
	Day      arrow.Date32   `arrow:"day"`
	Maybe    *string        `arrow:"maybe"`
	List     []int64        `arrow:"list"`
	Names    []string       `arrow:"names"`
	Vector   [2]float64     `arrow:"vector"`
	Inner    point          `arrow:"inner"`
	Inners   []*point       `arrow:"inners"`
	Counts   map[string]int `arrow:"counts"`
	unseen   int            //nolint:unused // unexported: no column
	NoColumn func()         `arrow:"-"`
}

func TestRowsOfEveryKind(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	a := offline(mem, AppendOptions{})
	rows := rowsOffline[everything](t, a, nil)
	at := time.Date(2026, 11, 22, 10, 0, 0, 1000, time.UTC)
	full := everything{Common: Common{7}, Yes: true, Small: -3, Wide: math.MaxUint64, Half: float16.New(1.5), Real: 2.5, Text: "Größe",
		Bytes: []byte("xy"), UUID: [4]byte{1, 2, 3, 4}, Price: decimal128.FromI64(1250), At: at, Took: time.Second, Day: 3,
		Maybe: new("there"), List: []int64{1, 2}, Names: []string{"a", "b"}, Vector: [2]float64{0.5, 1},
		Inner: point{1, "one"}, Inners: []*point{{2, "two"}, nil}, Counts: map[string]int{"k": 1}}
	for _, row := range []everything{full, {Common: Common{8}, At: at}} {
		if err := rows.Append(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	batch := rows.set.cut()
	defer batch.Release()
	defer rows.set.release()
	text, err := batch.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"at":"2026-11-22T10:00:00.000001Z","bytes":"eHk=","counts":[{"key":"k","value":1}],"day":"1970-01-04","half":1.5,"id":7,` +
			`"inner":{"a":1,"b":"one"},"inners":[{"a":2,"b":"two"},null],"list":[1,2],"maybe":"there","names":["a","b"],"price":"12.5",` +
			`"real":2.5,"small":-3,"text":"Größe","took":"1000000000ns","uuid":"AQIDBA==","vector":[0.5,1],"wide":18446744073709551615,"yes":true}`,
		`{"at":"2026-11-22T10:00:00.000001Z","bytes":null,"counts":null,"day":"1970-01-01","half":0,"id":8,` +
			`"inner":{"a":0,"b":""},"inners":null,"list":null,"maybe":null,"names":null,"price":"0",` +
			`"real":0,"small":0,"text":"","took":"0ns","uuid":"AAAAAA==","vector":[0,0],"wide":0,"yes":false}`,
	}
	if got := string(text); got != "["+want[0]+"\n,"+want[1]+"\n]" {
		t.Errorf("got %s", got)
	}
	if got := batch.Schema().Field(0); got.Name != "id" || got.Nullable || batch.Schema().Field(13).Nullable != true {
		t.Errorf("the schema is %v", batch.Schema())
	}
}

// TestRowsTakeTheTablesTypes: a column's own type is used where the Go type's values can stand in it.
func TestRowsTakeTheTablesTypes(t *testing.T) {
	type row struct {
		N    int       `arrow:"n"`
		At   time.Time `arrow:"at"`
		Nano time.Time `arrow:"nano"`
		Day  time.Time `arrow:"day"`
		Noon time.Duration
		Text string    `arrow:"text"`
		Real float32   `arrow:"real"`
		List []int32   `arrow:"list"`
		Pair []float64 `arrow:"pair"`
		Part struct {
			B string `arrow:"b"`
		} `arrow:"part"`
		Own bool `arrow:"own"`
	}
	table := schemaOf(t, "day date32", "n uint8", "at timestamp[ms, tz=Europe/Berlin]", "nano timestamp[ns]", "Noon time32[s]", "text large_string",
		"real double", "list large_list<item: int64>", "pair fixed_size_list<item: double>[2]", "part struct<a: int64, b: string>", "other int8")
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	rows := rowsOffline[row](t, offline(mem, AppendOptions{}), table)
	defer rows.set.release()
	at := time.Date(2026, 11, 22, 23, 30, 0, 5e6, time.FixedZone("", -3600))
	good := row{N: 255, At: at, Nano: at, Day: at, Noon: 12 * time.Hour, Text: "x", Real: 0.5, List: []int32{1}, Pair: []float64{1, 2}}
	good.Part.B = "b"
	bad := map[string]func(*row){
		`"n": 256`:         func(r *row) { r.N = 256 },
		`"n": -1`:          func(r *row) { r.N = -1 },
		`"nano": 0001-01`:  func(r *row) { r.Nano = time.Time{} },
		`"Noon": 24h`:      func(r *row) { r.Noon = 24 * time.Hour },
		`"text": the`:      func(r *row) { r.Text = "\xff" },
		`"pair": 1 values`: func(r *row) { r.Pair = r.Pair[:1] },
	}
	for part, spoil := range bad {
		if err := rows.Append(t.Context(), good); err != nil {
			t.Fatal(err)
		}
		spoilt := good
		spoil(&spoilt)
		wantError(t, rows.Append(t.Context(), spoilt), quiver.SchemaMismatch, "shop.orders", part)
	}
	batch := rows.set.cut()
	defer batch.Release()
	last := batch.NewSlice(5, 6)
	defer last.Release()
	text, err := last.MarshalJSON()
	want := `[{"Noon":"12:00:00","at":"2026-11-23T01:30:00.005+01:00","day":"2026-11-22","list":[1],"n":255,"nano":"2026-11-23T00:30:00.005",` +
		`"own":false,"pair":[1,2],"part":{"a":null,"b":"b"},"real":0.5,"text":"x"}` + "\n]"
	if batch.NumRows() != int64(len(bad)) || err != nil || string(text) != want {
		t.Errorf("%d rows, %v, the last is\n%s\nwant\n%s", batch.NumRows(), err, text, want)
	}
}

func TestRowsTellAllFaultsOfATypeAtOnce(t *testing.T) {
	type broken struct {
		A chan int       `arrow:"a"`
		B decimal128.Num `arrow:"b"`
		C string         `arrow:"c"`
		D int            `arrow:"d,nullable"`
		E int            `arrow:"d"`
		F int            `arrow:"f,type=int128"`
	}
	a := offline(memory.DefaultAllocator, AppendOptions{})
	_, err := newRowSet(a, rowKind{typ: reflect.TypeFor[broken]()}, nil)
	wantError(t, err, quiver.SchemaMismatch, "flight.broken", `field D: the tag has "nullable"`, `field E: there is another column "d"`, "field F")
	type unfit struct {
		A chan int       `arrow:"a"`
		B decimal128.Num `arrow:"b"`
		C string         `arrow:"c"`
	}
	_, err = newRowSet(a, rowKind{typ: reflect.TypeFor[unfit]()}, schemaOf(t, "c int64"))
	wantError(t, err, quiver.SchemaMismatch, `column "a"`, `column "b"`, "needs type=", `column "c"`, "int64")
	wantError(t, a.AppendRow(t.Context(), 7), quiver.SchemaMismatch, "int is no struct")
	wantError(t, a.AppendRow(t.Context(), (*point)(nil)), quiver.SchemaMismatch, "no struct")
}

// TestRowsAreCut by rows and by bytes, and before another type's rows.
func TestRowsAreCut(t *testing.T) {
	a := offline(memory.DefaultAllocator, AppendOptions{BatchRows: 4, BatchBytes: 1000})
	points, kilos := rowsOffline[point](t, a, nil), rowsOffline[Common](t, a, nil)
	steps := []struct {
		text string
		want []int64
	}{{"a", nil}, {"b", nil}, {"c", nil}, {"d", []int64{4}}, {strings.Repeat("e", 1000), []int64{4, 1}}, {"f", []int64{4, 1}}}
	cuts := func() (rows []int64) {
		for _, u := range a.queue {
			rows = append(rows, u.rows)
		}
		return rows
	}
	for _, step := range steps {
		if err := points.Append(t.Context(), point{1, step.text}); err != nil {
			t.Fatal(err)
		}
		if got := cuts(); !reflect.DeepEqual(got, step.want) {
			t.Errorf("after %.10s: batches of %v, want %v", step.text, got, step.want)
		}
	}
	if err := kilos.Append(t.Context(), Common{1}); err != nil {
		t.Fatal(err)
	}
	if got := cuts(); !reflect.DeepEqual(got, []int64{4, 1, 1}) {
		t.Errorf("batches of %v", got)
	}
}

type bid struct {
	Auction int64     `arrow:"auction"`
	Bidder  int64     `arrow:"bidder"`
	Price   int64     `arrow:"price"`
	Channel string    `arrow:"channel"`
	URL     string    `arrow:"url"`
	At      time.Time `arrow:"at"`
	Note    *string   `arrow:"note"`
}

// BenchmarkRows gathers and encodes rows, with everything but the connection.
func BenchmarkRows(b *testing.B) {
	row := bid{1, 2, 3, "apple", "https://www.nexmark.com/item.htm", time.Unix(1e9, 0), new("x")}
	drain := func(a *Appender) {
		for _, u := range a.queue {
			u.release()
		}
		a.queue, a.bytes = a.queue[:0], 0
	}
	b.Run("typed", func(b *testing.B) {
		a := offline(memory.DefaultAllocator, AppendOptions{})
		rows := rowsOffline[bid](b, a, nil)
		b.ReportAllocs()
		for b.Loop() {
			if err := rows.Append(b.Context(), row); err != nil {
				b.Fatal(err)
			}
			drain(a)
		}
	})
	b.Run("any", func(b *testing.B) {
		a := offline(memory.DefaultAllocator, AppendOptions{})
		a.rowSets.Store(reflect.TypeFor[bid](), rowsOffline[bid](b, a, nil).set)
		b.ReportAllocs()
		for b.Loop() {
			if err := a.AppendRow(b.Context(), &row); err != nil {
				b.Fatal(err)
			}
			drain(a)
		}
	})
}
