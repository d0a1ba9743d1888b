package record

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// keySegment is the key of a segment's identity in the metadata of its schema.
const keySegment = "quiver.segment"

// SegmentIdentity says which segment of which bucket a file is. It stands at the start of the file.
type SegmentIdentity struct {
	Bucket     quiver.BucketID
	BaseOffset quiver.Offset
	Schema     quiver.SchemaID
	Salt       uint64 // random, made with the segment
}

// Seed is the seed of the checksums of the segment's batches.
func (s SegmentIdentity) Seed() Seed { return NewSeed(s.Bucket, s.Salt) }

// Where the fields of the identity stand in its text, in hexadecimal digits.
const (
	atSegmentVersion   = 0
	atSegmentTable     = atSegmentVersion + 2
	atSegmentPartition = atSegmentTable + 16
	atSegmentBucket    = atSegmentPartition + 16
	atSegmentBase      = atSegmentBucket + 8
	atSegmentSchema    = atSegmentBase + 16
	atSegmentSalt      = atSegmentSchema + 8
	atSegmentCRC       = atSegmentSalt + 16
	segmentDigits      = atSegmentCRC + 8
)

func (s SegmentIdentity) put(dst []byte) {
	_ = dst[segmentDigits-1]
	putHex(dst[atSegmentVersion:atSegmentTable], FormatVersion)
	putHex(dst[atSegmentTable:atSegmentPartition], uint64(s.Bucket.Table))
	putHex(dst[atSegmentPartition:atSegmentBucket], uint64(s.Bucket.Partition))
	putHex(dst[atSegmentBucket:atSegmentBase], uint64(s.Bucket.Bucket))
	putHex(dst[atSegmentBase:atSegmentSchema], uint64(s.BaseOffset))
	putHex(dst[atSegmentSchema:atSegmentSalt], uint64(s.Schema))
	putHex(dst[atSegmentSalt:atSegmentCRC], s.Salt)
	copy(dst[atSegmentCRC:segmentDigits], zeroDigits)
}

// parse reads the text of an identity and the checksum in it.
func (s *SegmentIdentity) parse(src []byte) (crc uint32, err error) {
	if len(src) != segmentDigits {
		return 0, fmt.Errorf("segment header: %d characters, not %d", len(src), segmentDigits)
	}
	ok := true
	number := func(from, until int) uint64 {
		v, good := parseHex(src[from:until])
		ok = ok && good
		return v
	}
	version := number(atSegmentVersion, atSegmentTable)
	s.Bucket.Table = quiver.TableID(number(atSegmentTable, atSegmentPartition))
	s.Bucket.Partition = quiver.PartitionID(number(atSegmentPartition, atSegmentBucket))
	s.Bucket.Bucket = int32(number(atSegmentBucket, atSegmentBase))
	s.BaseOffset = quiver.Offset(number(atSegmentBase, atSegmentSchema))
	s.Schema = quiver.SchemaID(number(atSegmentSchema, atSegmentSalt))
	s.Salt = number(atSegmentSalt, atSegmentCRC)
	crc = uint32(number(atSegmentCRC, segmentDigits))
	switch {
	case !ok:
		return 0, fmt.Errorf("segment header: not the expected hexadecimal digits")
	case version != FormatVersion:
		return 0, fmt.Errorf("segment header: version %d, this program reads %d", version, FormatVersion)
	case s.BaseOffset < 0 || s.BaseOffset > maxOffset:
		return 0, fmt.Errorf("segment header: offset %d", s.BaseOffset)
	}
	return crc, nil
}

// EncodeSegmentSchema is the Schema message that a segment starts with: prefix and metadata, a multiple of 64 bytes.
// Its schema is the stored one, with field ids; its metadata has the identity and a checksum of the whole message.
func EncodeSegmentSchema(s *quiver.Schema, id SegmentIdentity) ([]byte, error) {
	id.Schema = s.ID()
	var text [segmentDigits]byte
	id.put(text[:])
	md := s.Stored().Metadata()
	keys := append([]string{keySegment}, md.Keys()...)
	values := append([]string{string(text[:])}, md.Values()...)
	withID := arrow.NewMetadata(keys, values)
	fb, err := schemaMessage(arrow.NewSchema(s.Stored().Fields(), &withID))
	if err != nil {
		return nil, err
	}
	out := make([]byte, roundUp(prefixSize+len(fb)))
	copy(out[prefixSize:], fb)
	putPrefix(out)
	from, until, err := segmentText(out[prefixSize:])
	if err != nil || until-from != segmentDigits {
		return nil, quiver.Errorf(quiver.Internal, "the schema message does not hold the segment's identity")
	}
	crc := prefixSize + from + atSegmentCRC
	putHex(out[crc:crc+8], uint64(headerSum(out, crc, 0)))
	return out, nil
}

// ParseSegmentIdentity reads the message that a segment starts with, as PeekPrefix delimits it, and verifies its
// checksum. The error is CORRUPT_RANGE.
func ParseSegmentIdentity(msg []byte) (SegmentIdentity, error) {
	var id SegmentIdentity
	if n, ok := PeekPrefix(msg); !ok || n != len(msg) {
		return id, corrupt("no segment starts here")
	}
	from, until, err := segmentText(msg[prefixSize:])
	if err != nil {
		return id, corrupt("segment header: %v", err)
	}
	crc, err := id.parse(msg[prefixSize+from : prefixSize+until])
	if err != nil {
		return id, corrupt("%v", err)
	}
	if got := headerSum(msg, prefixSize+from+atSegmentCRC, 0); got != crc {
		return id, corrupt("segment header: checksum %08x, stored %08x", got, crc)
	}
	return id, nil
}

// ParseSegmentSchema is ParseSegmentIdentity with the schema, which comes without the identity in its metadata.
func ParseSegmentSchema(msg []byte) (SegmentIdentity, *arrow.Schema, error) {
	id, err := ParseSegmentIdentity(msg)
	if err != nil {
		return id, nil, err
	}
	s, err := quiver.ParseSchemaMessage(msg[prefixSize:])
	if err != nil {
		return id, nil, corrupt("segment header: %v", err)
	}
	return id, withoutKey(s, keySegment), nil
}

// withoutKey is the schema without one key of its metadata.
func withoutKey(s *arrow.Schema, key string) *arrow.Schema {
	md := s.Metadata()
	var keys, values []string
	for i, k := range md.Keys() {
		if k != key {
			keys, values = append(keys, k), append(values, md.Values()[i])
		}
	}
	rest := arrow.NewMetadata(keys, values)
	return arrow.NewSchema(s.Fields(), &rest)
}

// schemaMessage is the Schema message of a schema, without prefix, a multiple of 8 bytes.
func schemaMessage(s *arrow.Schema) (fb []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = quiver.Errorf(quiver.Internal, "schema message: %v", r)
		}
	}()
	p := aipc.GetSchemaPayload(s, memory.DefaultAllocator)
	defer p.Release()
	meta := p.Meta()
	defer meta.Release()
	fb = make([]byte, (meta.Len()+7)&^7)
	copy(fb, meta.Bytes())
	return fb, nil
}

// SegmentLayout is the layout of a segment's batches, made of what ParseSegmentSchema read.
func SegmentLayout(s *arrow.Schema, id quiver.SchemaID) (*Layout, error) {
	l, err := newLayout(s, id, nil)
	if err != nil {
		return nil, corrupt("segment header: %v", err)
	}
	if !l.stored {
		return nil, corrupt("segment header: schema %d has columns in a layout that is not stored", id)
	}
	return l, nil
}
