package flight

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/quiverlog/quiver"
)

// maxRanges bounds the ranges of one answer.
const maxRanges = 1000

// Range is a run of offsets [From, Until) in one bucket.
type Range struct {
	Partition string // "" on unpartitioned tables, null in JSON
	Bucket    int32
	From      quiver.Offset
	Until     quiver.Offset
}

type bucketName struct {
	partition string
	bucket    int32
}

func (r Range) appendJSON(b []byte) []byte {
	b = appendName(append(b, `{"partition":`...), r.Partition)
	b = strconv.AppendInt(append(b, `,"bucket":`...), int64(r.Bucket), 10)
	b = strconv.AppendInt(append(b, `,"from":`...), int64(r.From), 10)
	b = strconv.AppendInt(append(b, `,"until":`...), int64(r.Until), 10)
	return append(b, '}')
}

// MarshalJSON writes {"partition":null,"bucket":0,"from":1200,"until":1456}.
func (r Range) MarshalJSON() ([]byte, error) { return r.appendJSON(nil), nil }

// PutAnswer gathers what a put stream's answers tell. Batches, Rows and Sequence are totals of the stream; ranges,
// duplicates and flush are since the answer before, so Sent forgets them.
//
// It is not safe for concurrent use. NewPutAnswer makes one.
type PutAnswer struct {
	Batches    int64           // leading batches that are durable in all their buckets
	Rows       int64           // their rows, as put
	Sequence   quiver.Sequence // the highest with every earlier one durable; NoSequence: absent
	Ranges     []Range         // where rows went, adjacent ones joined
	RangesCut  bool            // there were more than 1,000
	Duplicates int64           // batches that were repeats
	Flush      json.RawMessage // echoed; nil: null

	last map[bucketName]int // the newest range of a bucket, by its index
}

// NewPutAnswer returns the answer of a stream of which nothing is durable yet.
func NewPutAnswer() *PutAnswer { return &PutAnswer{Sequence: quiver.NoSequence} }

// AddRange notes where rows went. A range that continues its bucket's newest one is joined with it.
func (a *PutAnswer) AddRange(r Range) {
	if r.From >= r.Until {
		return
	}
	name := bucketName{r.Partition, r.Bucket}
	if i, ok := a.last[name]; ok && a.Ranges[i].Until == r.From {
		a.Ranges[i].Until = r.Until
		return
	}
	if len(a.Ranges) == maxRanges {
		a.RangesCut = true
		return
	}
	if a.last == nil {
		a.last = make(map[bucketName]int)
	}
	a.last[name] = len(a.Ranges)
	a.Ranges = append(a.Ranges, r)
}

// Sent forgets what belongs to one answer only.
func (a *PutAnswer) Sent() {
	a.Ranges = a.Ranges[:0]
	a.RangesCut = false
	a.Duplicates = 0
	a.Flush = nil
	clear(a.last)
}

// Encode writes the answer, its keys always in the same order.
func (a *PutAnswer) Encode() []byte { return a.AppendJSON(nil) }

// AppendJSON appends the answer to b.
func (a *PutAnswer) AppendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"batches":`...), a.Batches, 10)
	b = strconv.AppendInt(append(b, `,"rows":`...), a.Rows, 10)
	if a.Sequence != quiver.NoSequence {
		b = strconv.AppendInt(append(b, `,"sequence":`...), int64(a.Sequence), 10)
	}
	b = append(b, `,"ranges":[`...)
	for i, r := range a.Ranges {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.appendJSON(b)
	}
	b = append(b, ']')
	if a.RangesCut {
		b = append(b, `,"ranges_cut":true`...)
	}
	b = strconv.AppendInt(append(b, `,"duplicates":`...), a.Duplicates, 10)
	b = append(b, `,"flush":`...)
	if a.Flush == nil {
		return append(b, "null}"...)
	}
	return append(append(b, a.Flush...), '}')
}

// Fail makes the error that ends a put of what went wrong: it tells the same totals as an answer would, in text and
// metadata, since clients drop unread answers when a stream fails. rest is what became of all later batches: NotDone
// only if no row of any of them is stored.
func (a *PutAnswer) Fail(err error, rest quiver.Outcome) *quiver.Error {
	e := *asError(err)
	e.Outcome = rest
	durable := fmt.Sprintf("durable: %d batches, %d rows", a.Batches, a.Rows)
	e = *e.Note("durable_batches", strconv.FormatInt(a.Batches, 10)).Note("durable_rows", strconv.FormatInt(a.Rows, 10))
	if a.Sequence != quiver.NoSequence {
		durable += fmt.Sprintf(", sequence %d", a.Sequence)
		e = *e.Note("durable_sequence", strconv.FormatInt(int64(a.Sequence), 10))
	}
	if rest == quiver.NotDone {
		durable += "; rest: not appended"
	} else {
		durable += "; rest: unknown"
	}
	if e.Hint != "" {
		durable = e.Hint + "; " + durable
	}
	e.Hint = durable
	return &e
}

// putAnswerWords is the JSON of a PutAnswer.
type putAnswerWords struct {
	Batches    int64            `json:"batches"`
	Rows       int64            `json:"rows"`
	Sequence   *quiver.Sequence `json:"sequence"`
	Ranges     []Range          `json:"ranges"`
	RangesCut  bool             `json:"ranges_cut"`
	Duplicates int64            `json:"duplicates"`
	Flush      json.RawMessage  `json:"flush"`
}

func (w *putAnswerWords) answer() *PutAnswer {
	a := &PutAnswer{Batches: w.Batches, Rows: w.Rows, Sequence: quiver.NoSequence, Ranges: w.Ranges,
		RangesCut: w.RangesCut, Duplicates: w.Duplicates, Flush: w.Flush}
	if w.Sequence != nil {
		a.Sequence = *w.Sequence
	}
	return a
}

// ParsePutAnswer reads an answer, for clients.
func ParsePutAnswer(data []byte) (*PutAnswer, error) {
	var words putAnswerWords
	if err := DecodeStrict(data, &words, quiver.Internal); err != nil {
		return nil, err
	}
	return words.answer(), nil
}

// putAnswer reads an answer; keys that a newer server added are passed over.
func putAnswer(data []byte) (*PutAnswer, error) {
	var words putAnswerWords
	if err := decodeLoose(data, &words); err != nil {
		return nil, err
	}
	return words.answer(), nil
}

// decodeWord reads a range.
func (r *Range) decodeWord(v *jsonValue) error {
	var words struct {
		Partition string        `json:"partition"`
		Bucket    int32         `json:"bucket"`
		From      quiver.Offset `json:"from"`
		Until     quiver.Offset `json:"until"`
	}
	err := v.into(valueOf(&words))
	*r = Range(words)
	return err
}
