package flight

import (
	"strconv"

	"github.com/quiverlog/quiver"
)

// NoBucket stands for the missing bucket of an idle batch of a table that has none: null.
const NoBucket = int32(-1)

// NoTimestamp stands for the missing time of a batch: null.
const NoTimestamp = int64(-1 << 63)

// BatchInfo is the app_metadata of a batch that a DoGet sends.
type BatchInfo struct {
	Bucket        int32         // NoBucket: null
	Partition     string        // "": null
	From          quiver.Offset // offsets [From, Until) were read for this batch, also those that a filter dropped
	Until         quiver.Offset // where to resume
	Timestamp     int64         // when its last row was appended, Unix milliseconds; NoTimestamp: null
	HighWatermark quiver.Offset // of the bucket, when the batch was sent
	Idle          bool          // a zero-row batch that only says that the stream lives
	Phase         string        // of "table+log": PhaseTable, or PhaseLog on the one batch between; "": none
	Offsets       Offsets       // of PhaseLog: where the table ended and the changelog begins
}

// The phases of "table+log".
const (
	PhaseTable = "table"
	PhaseLog   = "log"
)

// AppendJSON appends {"bucket":0,"partition":null,"from":1200,"until":1456,"timestamp":…,"high_watermark":5000} to b.
func (i *BatchInfo) AppendJSON(b []byte) []byte {
	b = append(b, `{"bucket":`...)
	b = appendOrNull(b, int64(i.Bucket), i.Bucket == NoBucket)
	b = appendName(append(b, `,"partition":`...), i.Partition)
	b = strconv.AppendInt(append(b, `,"from":`...), int64(i.From), 10)
	b = strconv.AppendInt(append(b, `,"until":`...), int64(i.Until), 10)
	b = appendOrNull(append(b, `,"timestamp":`...), i.Timestamp, i.Timestamp == NoTimestamp)
	b = strconv.AppendInt(append(b, `,"high_watermark":`...), int64(i.HighWatermark), 10)
	if i.Idle {
		b = append(b, `,"idle":true`...)
	}
	if i.Phase != "" {
		b = appendString(append(b, `,"phase":`...), i.Phase)
	}
	if i.Phase == PhaseLog {
		b = i.Offsets.appendJSON(append(b, `,"offsets":`...))
	}
	return append(b, '}')
}

func appendOrNull(b []byte, n int64, null bool) []byte {
	if null {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, n, 10)
}

// batchInfoWords is the JSON of a BatchInfo.
type batchInfoWords struct {
	Bucket        *int32        `json:"bucket"`
	Partition     string        `json:"partition"`
	From          quiver.Offset `json:"from"`
	Until         quiver.Offset `json:"until"`
	Timestamp     *int64        `json:"timestamp"`
	HighWatermark quiver.Offset `json:"high_watermark"`
	Idle          bool          `json:"idle"`
	Phase         string        `json:"phase"`
	Offsets       Offsets       `json:"offsets"`
}

func (w *batchInfoWords) info() BatchInfo {
	info := BatchInfo{Bucket: NoBucket, Partition: w.Partition, From: w.From, Until: w.Until,
		Timestamp: NoTimestamp, HighWatermark: w.HighWatermark, Idle: w.Idle, Phase: w.Phase, Offsets: w.Offsets}
	if w.Bucket != nil {
		info.Bucket = *w.Bucket
	}
	if w.Timestamp != nil {
		info.Timestamp = *w.Timestamp
	}
	return info
}

// ParseBatchInfo reads the app_metadata of a received batch, for clients.
func ParseBatchInfo(metadata []byte) (BatchInfo, error) {
	var words batchInfoWords
	err := DecodeStrict(metadata, &words, quiver.Internal)
	return words.info(), err
}

// batchInfo reads the app_metadata of a received batch; keys that a newer server added are passed over.
func batchInfo(metadata []byte) (BatchInfo, error) {
	var words batchInfoWords
	err := decodeLoose(metadata, &words)
	return words.info(), err
}

// SchemaInfoKey is the key of the schema's metadata under which SchemaInfo stands.
const SchemaInfoKey = "quiver"

// SchemaInfo tells what a stream covers. Until is where the next bounded read goes on; it is NotGiven (and left out)
// for a read without an end.
type SchemaInfo struct {
	TableID  quiver.TableID  `json:"table_id"`
	SchemaID quiver.SchemaID `json:"schema_id"`
	From     Position        `json:"from,omitzero"`
	Until    Position        `json:"until,omitzero"`
}

// Encode writes the value of SchemaInfoKey.
func (i *SchemaInfo) Encode() []byte { return encode(i) }

// ParseSchemaInfo reads the value of SchemaInfoKey, for clients.
func ParseSchemaInfo(data []byte) (SchemaInfo, error) {
	var i SchemaInfo
	err := DecodeStrict(data, &i, quiver.Internal)
	return i, err
}

// TierLocal is the tier of ranges that lie on the servers.
const TierLocal = "local"

// PlanInfo is the app_metadata of a FlightInfo, and of each of its endpoints for that endpoint's ranges.
type PlanInfo struct {
	TableID  quiver.TableID  `json:"table_id"`
	SchemaID quiver.SchemaID `json:"schema_id"`
	Ranges   []Range         `json:"ranges"`
	Tier     string          `json:"tier"`
}

// Encode writes the metadata. Ranges are never null.
func (i PlanInfo) Encode() []byte {
	if i.Ranges == nil {
		i.Ranges = []Range{}
	}
	return encode(i)
}

// ParsePlanInfo reads the app_metadata of a FlightInfo or endpoint, for clients.
func ParsePlanInfo(data []byte) (PlanInfo, error) {
	var i PlanInfo
	err := DecodeStrict(data, &i, quiver.Internal)
	return i, err
}
