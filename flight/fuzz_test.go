package flight

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/quiverlog/quiver"
)

// FuzzActions reads any bytes as the body of every action: a request or a refusal with a reason.
func FuzzActions(f *testing.F) {
	for _, text := range []string{
		`{"table":"shop.orders","partition":"dt=2026-11-22/region=eu"}`, `{"database":"shop","cascade":true,"comment":"x","set":{"a":"b"}}`,
		`{"table":"t","changes":[{"add":{"name":"x","type":"int32","default":0,"after":"id"}},{"widen":{"name":"a","type":"int64"}},{"reset":["retention.time"]}]}`,
		`{"table":"t","at":{"timestamp":"2026-11-22T10:00:00Z"}}`, `{"table":"t","offsets":{"0":17},"timeout_ms":30000}`,
		`{"cursor":"job1","table":"t","offsets":{"0":5},"expect":{"0":4}}`, `{"cursor":"job1","table":"t","to":"earliest"}`,
		`{"name":"w"}`, `{"prefix":"shop."}`, `{"table":"t","timestamp":1763800000000}`, `[]`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		check(t, body, ParseAction[CursorCommit])
		check(t, body, ParseAction[CursorReset])
		check(t, body, ParseAction[CursorList])
		check(t, body, ParseAction[DatabaseList])
		check(t, body, ParseAction[DatabaseCreate])
		check(t, body, ParseAction[DatabaseAlter])
		check(t, body, ParseAction[DatabaseDrop])
		check(t, body, ParseAction[DatabaseDescribe])
		check(t, body, ParseAction[LogOffsets])
		check(t, body, ParseAction[LogWait])
		check(t, body, ParseAction[LogDeleteBefore])
		check(t, body, ParseAction[PartitionCreate])
		check(t, body, ParseAction[PartitionDrop])
		check(t, body, ParseAction[PartitionList])
		check(t, body, ParseAction[TableCreate])
		check(t, body, ParseAction[TableDescribe])
		check(t, body, ParseAction[TableAlter])
		check(t, body, ParseAction[TableDrop])
		check(t, body, ParseAction[TableList])
		check(t, body, ParseAction[TableStats])
		check(t, body, ParseAction[WriterInit])
		check(t, body, ParseAction[WriterDescribe])
		check(t, body, ParseCriteria)
	})
}

// FuzzMetadata reads any bytes as what stands beside the batches of a put.
func FuzzMetadata(f *testing.F) {
	for _, text := range []string{`{"sequence":3}`, `{"flush":{"a":[1,2]}}`, `{"flush":null}`, `{"op":"delete","columns":["a"]}`, `{}`, ``, `null`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		check(t, text, ParseBatchMetadata)
		check(t, text, func(b []byte) (json.RawMessage, error) {
			echo, err := ParseFlush(b)
			if err == nil && !json.Valid(echo) {
				t.Fatalf("%q is to be echoed", echo)
			}
			return echo, err
		})
	})
}

// FuzzAnswers reads any bytes as what a server tells a client: what is taken means the same when it is written again.
func FuzzAnswers(f *testing.F) {
	answer := NewPutAnswer()
	answer.Batches, answer.Rows, answer.Sequence, answer.Flush = 2, 30, 1, json.RawMessage(`"x"`)
	answer.AddRange(Range{Partition: "dt=2026-11-22", Bucket: 1, From: 5, Until: 9})
	f.Add(answer.AppendJSON(nil))
	f.Add((&BatchInfo{Bucket: 1, Partition: "a=b", From: 3, Until: 5, Timestamp: NoTimestamp, HighWatermark: 9, Idle: true}).AppendJSON(nil))
	f.Add((&SchemaInfo{TableID: 3, SchemaID: 1}).Encode())
	f.Add([]byte(`{"table_id":1,"schema_id":2,"ranges":[{"partition":null,"bucket":0,"from":1,"until":2}],"tier":"local"}`))
	f.Add([]byte(`{"phase":"log","offsets":{"0":5}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = ParsePlanInfo(text)
		_, _ = ParsePutAnswer(text)
		_, _ = putAnswer(text)
		_, _ = batchInfo(text)
		if info, err := ParseBatchInfo(text); err == nil {
			if again, err := ParseBatchInfo(info.AppendJSON(nil)); err != nil || again.From != info.From || again.Until != info.Until || again.Bucket != info.Bucket {
				t.Fatalf("%+v is read back as %+v, %v", info, again, err)
			}
		}
		if info, err := ParseSchemaInfo(text); err == nil {
			if again, err := ParseSchemaInfo(info.Encode()); err != nil || !reflect.DeepEqual(info, again) {
				t.Fatalf("%+v is read back as %+v, %v", info, again, err)
			}
		}
	})
}

// check parses, and wants a reason where that fails.
func check[T any](t *testing.T, text []byte, parse func([]byte) (T, error)) {
	t.Helper()
	if _, err := parse(text); err != nil && (quiver.ReasonOf(err) == "" || quiver.ReasonOf(err) == quiver.Internal) {
		t.Fatalf("%q: %v", text, err)
	}
}
