package flight

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/quiverlog/quiver"
)

func TestBatchInfo(t *testing.T) {
	for _, test := range []struct {
		info BatchInfo
		want string
	}{
		{BatchInfo{Bucket: 0, From: 1200, Until: 1456, Timestamp: 1763800000000, HighWatermark: 5000},
			`{"bucket":0,"partition":null,"from":1200,"until":1456,"timestamp":1763800000000,"high_watermark":5000}`},
		{BatchInfo{Bucket: 3, Partition: "dt=2026-11-22", From: 7, Until: 7, Timestamp: NoTimestamp, HighWatermark: 7, Idle: true},
			`{"bucket":3,"partition":"dt=2026-11-22","from":7,"until":7,"timestamp":null,"high_watermark":7,"idle":true}`},
		{BatchInfo{Bucket: NoBucket, Timestamp: NoTimestamp, Idle: true},
			`{"bucket":null,"partition":null,"from":0,"until":0,"timestamp":null,"high_watermark":0,"idle":true}`},
	} {
		if got := string(test.info.AppendJSON(nil)); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := BatchInfo{
			Bucket: rapid.Int32Min(-1).Draw(t, "bucket"), Partition: rapid.String().Draw(t, "partition"),
			From: quiver.Offset(rapid.Int64().Draw(t, "from")), Until: quiver.Offset(rapid.Int64().Draw(t, "until")),
			Timestamp: rapid.Int64().Draw(t, "timestamp"), HighWatermark: quiver.Offset(rapid.Int64().Draw(t, "high")),
			Idle: rapid.Bool().Draw(t, "idle"),
		}
		if got, err := ParseBatchInfo(want.AppendJSON(nil)); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatal(got, err)
		}
	})
}

// TestSchemaInfoIsTheNextPosition: what a read says under "until" is legal as the next one's "from".
func TestSchemaInfoIsTheNextPosition(t *testing.T) {
	info := SchemaInfo{TableID: 12, SchemaID: 1, From: AtOffsetsOf(Offsets{Buckets: BucketOffsets{0: 0}}),
		Until: AtOffsetsOf(Offsets{Buckets: BucketOffsets{0: 5000}})}
	want := `{"table_id":12,"schema_id":1,"from":{"offsets":{"0":0}},"until":{"offsets":{"0":5000}}}`
	if got := string(info.Encode()); got != want {
		t.Fatal(got)
	}
	back, err := ParseSchemaInfo([]byte(want))
	if err != nil || !reflect.DeepEqual(back, info) {
		t.Fatal(back, err)
	}
	scan, err := ParseTicket([]byte(`{"table":"t","table_id":12,"from":{"offsets":{"0":5000}}}`))
	if err != nil || !reflect.DeepEqual(scan.From, info.Until) {
		t.Fatal(scan, err)
	}
	info.Until = Position{}
	if got := string(info.Encode()); got != `{"table_id":12,"schema_id":1,"from":{"offsets":{"0":0}}}` {
		t.Fatal(got)
	}
}

func TestPlanInfo(t *testing.T) {
	info := PlanInfo{TableID: 1, SchemaID: 2, Tier: TierLocal, Ranges: []Range{{Bucket: 1, From: 2, Until: 3}}}
	want := `{"table_id":1,"schema_id":2,"ranges":[{"partition":null,"bucket":1,"from":2,"until":3}],"tier":"local"}`
	if got := string(info.Encode()); got != want {
		t.Fatal(got)
	}
	if back, err := ParsePlanInfo([]byte(want)); err != nil || !reflect.DeepEqual(back, info) {
		t.Fatal(back, err)
	}
	if got := string(PlanInfo{Tier: TierLocal}.Encode()); got != `{"table_id":0,"schema_id":0,"ranges":[],"tier":"local"}` {
		t.Fatal(got)
	}
}

func BenchmarkBatchInfo(b *testing.B) {
	info := BatchInfo{From: 1200, Until: 1456, Timestamp: 1763800000000, HighWatermark: 5000}
	scratch := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		scratch = info.AppendJSON(scratch[:0])
	}
}
