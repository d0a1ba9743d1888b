package flight

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/quiverlog/quiver"
)

// TestPutStreams runs streams by scripts: each line is the metadata of a batch of 10 rows, then what becomes of it.
func TestPutStreams(t *testing.T) {
	for _, test := range []struct{ name, command, script string }{
		{"plain", `{"put":"t"}`, `
			                        -> writer - sequence - expect -
			{"bucket":2}            -> writer - sequence - expect - bucket 2
			{"op":"append"}         -> writer - sequence - expect -
			{"sequence":4}          -> BAD_COMMAND: sequence 4 on a stream that began without`},
		{"sequenced by the command", `{"put":"t","writer_id":17,"writer_epoch":3,"sequence":5}`, `
			                        -> writer 17/3 sequence 5 expect -
			{"sequence":6}          -> writer 17/3 sequence 6 expect -
			{"sequence":8}          -> OUT_OF_ORDER_SEQUENCE: sequence 8 comes where 7 is next
			                        -> writer 17/3 sequence 7 expect -`},
		{"sequenced by the first batch", `{"put":"t","writer_id":17}`, `
			{"sequence":"9"}        -> writer 17/0 sequence 9 expect -
			                        -> writer 17/0 sequence 10 expect -
			{"sequence":10}         -> OUT_OF_ORDER_SEQUENCE: sequence 10 comes where 11 is next`},
		{"a writer without sequences", `{"put":"t","writer_id":17}`, `
			                        -> BAD_COMMAND: writer 17 puts a batch without a sequence`},
		{"sequences without a writer", `{"put":"t"}`, `
			{"sequence":0}          -> BAD_COMMAND: sequence 0 comes without a writer_id`},
		{"the first batch disagrees", `{"put":"t","writer_id":1,"sequence":5}`, `
			{"sequence":4}          -> OUT_OF_ORDER_SEQUENCE: sequence 4 comes where 5 is next`},
		{"the last sequence", `{"put":"t","writer_id":1,"sequence":9223372036854775807}`, `
			                        -> BAD_COMMAND: sequence 9223372036854775807 is the last number`},
		{"expected offsets count on", `{"put":"t","bucket":1,"expect_offset":100}`, `
			                        -> writer - sequence - expect 100 bucket 1
			{"expect_offset":7}     -> writer - sequence - expect 7 bucket 1
			                        -> writer - sequence - expect 120 bucket 1`},
		{"one expected offset", `{"put":"t"}`, `
			{"expect_offset":7}     -> writer - sequence - expect 7
			                        -> writer - sequence - expect -`},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := parseCommand([]byte(test.command))
			if err != nil {
				t.Fatal(err)
			}
			stream := d.Put.Stream()
			for line := range strings.Lines(strings.TrimPrefix(test.script, "\n")) {
				metadata, want, _ := strings.Cut(line, "->")
				m, err := ParseBatchMetadata([]byte(strings.TrimSpace(metadata)))
				if err != nil {
					t.Fatal(err)
				}
				order, err := stream.Next(m, 10)
				if got := orderText(order, err); !strings.HasPrefix(got, strings.TrimSpace(want)) {
					t.Errorf("%s: got %s", line, got)
				}
			}
		})
	}
}

func orderText(o BatchOrder, err error) string {
	if err != nil {
		return err.Error()
	}
	text := "writer -"
	if o.Writer != quiver.NoWriter {
		text = fmt.Sprintf("writer %d/%d", o.Writer, o.Epoch)
	}
	text += " sequence -"
	if o.Sequence != quiver.NoSequence {
		text = fmt.Sprintf("%s%d", strings.TrimSuffix(text, "-"), o.Sequence)
	}
	text += " expect -"
	if o.ExpectOffset != NoExpectation {
		text = fmt.Sprintf("%s%d", strings.TrimSuffix(text, "-"), o.ExpectOffset)
	}
	if o.Bucket != nil {
		text += fmt.Sprintf(" bucket %d", *o.Bucket)
	}
	return text
}

func TestBatchMetadata(t *testing.T) {
	m, err := ParseBatchMetadata(nil)
	if err != nil || !reflect.DeepEqual(m, BatchMetadata{}) {
		t.Error(m, err)
	}
	text := `{"op":"append","sequence":3,"bucket":1,"expect_offset":7}`
	m, err = ParseBatchMetadata([]byte(text))
	if err != nil || string(m.Encode()) != text {
		t.Error(string(m.Encode()), err)
	}
	for text, want := range map[string]string{
		`{"sequense":1}`:       `did you mean "sequence"?`,
		`{"op":"remove"}`:      `"delete"`,
		`{"bucket":-1}`:        "negative",
		`{"flush":1}`:          `unknown key "flush"`,
		`not json`:             "no JSON",
		`{"expect_offset":-2}`: "negative",
	} {
		_, err := ParseBatchMetadata([]byte(text))
		wantError(t, err, quiver.BadCommand, want)
	}
}

func TestFlush(t *testing.T) {
	for _, any := range []string{`1`, `null`, `"x"`, `{"a": [1,  2]}`, `12345678901234567890123`, `"Größe \u0041"`} {
		got, err := ParseFlush([]byte(`{ "flush" : ` + any + ` }`))
		if err != nil || string(got) != any {
			t.Errorf("%s: %s %v", any, got, err)
		}
	}
	for text, want := range map[string]string{
		``:                      `send {"flush": 1}`,
		`{}`:                    `no "flush"`,
		`{"flush":1,"x":2}`:     `unknown key "x"`,
		`{"flish":1}`:           `did you mean "flush"?`,
		`{"flush":1,"flush":2}`: "given twice",
		`[1]`:                   "want an object",
	} {
		_, err := ParseFlush([]byte(text))
		wantError(t, err, quiver.BadCommand, want)
	}
}

func TestPutAnswer(t *testing.T) {
	a := NewPutAnswer()
	if got := string(a.Encode()); got != `{"batches":0,"rows":0,"ranges":[],"duplicates":0,"flush":null}` {
		t.Error(got)
	}
	a.Batches, a.Rows, a.Sequence, a.Duplicates = 12, 786432, 42, 1
	a.AddRange(Range{Bucket: 0, From: 1200, Until: 1300})
	a.AddRange(Range{Bucket: 1, From: 5, Until: 6})
	a.AddRange(Range{Bucket: 0, From: 1300, Until: 1456}) // joins its bucket's newest
	a.AddRange(Range{Bucket: 1, From: 9, Until: 10})
	a.AddRange(Range{Bucket: 1, From: 9, Until: 9}) // nothing
	a.AddRange(Range{Partition: "dt=1", Bucket: 1, From: 10, Until: 11})
	a.Flush = []byte(`{"a": 1}`)
	want := `{"batches":12,"rows":786432,"sequence":42,"ranges":[{"partition":null,"bucket":0,"from":1200,"until":1456},` +
		`{"partition":null,"bucket":1,"from":5,"until":6},{"partition":null,"bucket":1,"from":9,"until":10},` +
		`{"partition":"dt=1","bucket":1,"from":10,"until":11}],"duplicates":1,"flush":{"a": 1}}`
	if got := string(a.Encode()); got != want {
		t.Error(got)
	}
	back, err := ParsePutAnswer([]byte(want))
	if err != nil || !reflect.DeepEqual(back.Ranges, a.Ranges) || back.Sequence != 42 || string(back.Flush) != `{"a": 1}` {
		t.Error(back, err)
	}
	a.Sent()
	if got := string(a.Encode()); got != `{"batches":12,"rows":786432,"sequence":42,"ranges":[],"duplicates":0,"flush":null}` {
		t.Error(got)
	}
	a.AddRange(Range{Bucket: 0, From: 1456, Until: 1500}) // nothing to join with any more
	if len(a.Ranges) != 1 || a.Ranges[0].From != 1456 {
		t.Error(a.Ranges)
	}
}

func TestManyRangesAreCut(t *testing.T) {
	a := NewPutAnswer()
	for i := range 1000 {
		a.AddRange(Range{Bucket: int32(i), From: 0, Until: 1})
	}
	if a.RangesCut {
		t.Fatal("1,000 ranges are not too many")
	}
	a.AddRange(Range{Bucket: 7, From: 1, Until: 2}) // joining still works
	a.AddRange(Range{Bucket: 1000, From: 0, Until: 1})
	if len(a.Ranges) != 1000 || a.Ranges[7].Until != 2 || !strings.Contains(string(a.Encode()), `],"ranges_cut":true,"duplicates":0`) {
		t.Fatal("not cut")
	}
}

func TestPutFailureTellsWhatIsDurable(t *testing.T) {
	a := NewPutAnswer()
	a.Batches, a.Rows, a.Sequence = 2, 131072, 1
	err := a.Fail(quiver.Errorf(quiver.SchemaMismatch, "column price is utf8, the table has int64").On("table shop.orders").Advise("cast it"), quiver.NotDone)
	want := "SCHEMA_MISMATCH: table shop.orders: column price is utf8, the table has int64; cast it; " +
		"durable: 2 batches, 131072 rows, sequence 1; rest: not appended"
	if err.Error() != want || err.Outcome != quiver.NotDone || err.Meta["durable_batches"] != "2" || err.Meta["durable_sequence"] != "1" {
		t.Errorf("%v %v", err, err.Meta)
	}
	a = NewPutAnswer()
	err = a.Fail(fmt.Errorf("broken"), quiver.Unknown)
	if err.Error() != "INTERNAL: broken; durable: 0 batches, 0 rows; rest: unknown" || err.Outcome != quiver.Unknown {
		t.Error(err)
	}
	if _, ok := err.Meta["durable_sequence"]; ok {
		t.Error("an unsequenced stream tells a sequence")
	}
}

func BenchmarkPutAnswer(b *testing.B) {
	a := NewPutAnswer()
	scratch := make([]byte, 0, 1024)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.AddRange(Range{Bucket: 3, From: quiver.Offset(i), Until: quiver.Offset(i + 1)})
		scratch = a.AppendJSON(scratch[:0])
		a.Sent()
	}
}

func BenchmarkBatchMetadata(b *testing.B) {
	text := []byte(`{"sequence":1234567,"bucket":3}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseBatchMetadata(text); err != nil {
			b.Fatal(err)
		}
	}
}
