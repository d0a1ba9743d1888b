package record

import (
	"encoding/base64"
	"encoding/binary"
	"errors"

	"github.com/quiverlog/quiver"
)

// Producer says who put a run of a batch's rows. The runs of a batch stand in row order and cover it.
type Producer struct {
	Writer   quiver.WriterID // quiver.NoWriter: unsequenced
	Epoch    quiver.Epoch
	Sequence quiver.Sequence // of the writer's batch that these rows are, or are a piece of
	Rows     int64
}

// anonymous is a producer that gave no identity.
func anonymous(rows int) Producer {
	return Producer{Writer: quiver.NoWriter, Sequence: quiver.NoSequence, Rows: int64(rows)}
}

// SetProducers says who put the batch's rows. The counts must add up to Rows. One anonymous producer takes no room.
func (b *Batch) SetProducers(ps []Producer) {
	var sum int64
	for _, p := range ps {
		sum += p.Rows
	}
	if len(ps) > 0 && sum != int64(b.rows) {
		panic("record: producers do not cover the batch")
	}
	if len(ps) == 1 && ps[0] == anonymous(b.rows) {
		ps = nil
	}
	b.producers = ps
	b.unseal()
}

// Producers are the producers of the batch's rows, in row order: one at least.
func (b *Batch) Producers() []Producer {
	if len(b.producers) == 0 {
		return []Producer{anonymous(b.rows)}
	}
	return b.producers
}

// encodeProducers packs the producers: each field as the zigzag varint of its difference from the producer before,
// all as base64url text. Writers of a batch are many and near each other, sequences rise by one: 4 to 6 bytes each.
func encodeProducers(ps []Producer) []byte {
	if len(ps) == 0 {
		return nil
	}
	raw := make([]byte, 0, 16*len(ps))
	var last Producer
	for _, p := range ps {
		raw = binary.AppendVarint(raw, int64(p.Writer-last.Writer))
		raw = binary.AppendVarint(raw, int64(p.Epoch-last.Epoch))
		raw = binary.AppendVarint(raw, int64(p.Sequence-last.Sequence))
		raw = binary.AppendVarint(raw, p.Rows-last.Rows)
		last = p
	}
	text := make([]byte, base64.RawURLEncoding.EncodedLen(len(raw)))
	base64.RawURLEncoding.Encode(text, raw)
	return text
}

var errProducers = errors.New("producers of the batch: malformed")

// decodeProducers reads what encodeProducers wrote and checks that the producers cover the rows.
func decodeProducers(text []byte, rows int) ([]Producer, error) {
	raw := make([]byte, base64.RawURLEncoding.DecodedLen(len(text)))
	n, err := base64.RawURLEncoding.Strict().Decode(raw, text)
	if err != nil {
		return nil, errProducers
	}
	raw = raw[:n]
	var ps []Producer
	var last Producer
	left := int64(rows)
	for len(raw) > 0 {
		var d [4]int64
		for i := range d {
			v, n := binary.Varint(raw)
			if n <= 0 {
				return nil, errProducers
			}
			d[i], raw = v, raw[n:]
		}
		last.Writer += quiver.WriterID(d[0])
		last.Epoch += quiver.Epoch(d[1])
		last.Sequence += quiver.Sequence(d[2])
		last.Rows += d[3]
		if last.Rows < 0 || last.Rows > left {
			return nil, errProducers
		}
		left -= last.Rows
		ps = append(ps, last)
	}
	if len(ps) == 0 || left != 0 {
		return nil, errProducers
	}
	return ps, nil
}
