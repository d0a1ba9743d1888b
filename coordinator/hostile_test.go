package coordinator

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

// hostileTexts are names and comments that somebody will send.
var hostileTexts = []string{
	"", " ", ".", "..", "...", "/", "\\", "a/b", "../../etc/passwd", "a b", "a.b", "a\x00b", "\x00", "\n", "a\nb", "\x7f", "\u0085",
	"Größe", "日本語", "\u202eabc", "\ufeff", "\xff", "a\xc3", "'; drop table x; --", `"quoted"`, "{}", "[1]", "null", "%2e%2e", "a%00",
	"table", "head", "default", "DEFAULT", "-", "_", "--", "__", "__offset", "0", "00000000000000000001", "con", "NUL",
	strings.Repeat("a", 255), strings.Repeat("a", 256), strings.Repeat("ü", 128), strings.Repeat("x", 1<<16),
}

// accepted runs a command and checks that it was either done, in memory as in the store, or refused with a reason that
// is the caller's fault.
func (m *machine) accepted(t *testing.T, c Command) bool {
	t.Helper()
	before := m.state.version
	_, _, err := m.run(c)
	if err != nil {
		switch reason := quiver.ReasonOf(err); {
		case reason == "" || reason == quiver.Internal || quiver.OutcomeOf(err) != quiver.NotDone:
			t.Errorf("%+v: %v", c, err)
		case len(err.Error()) > 8<<10:
			t.Errorf("%T: the error has %d bytes", c, len(err.Error()))
		case m.state.version != before:
			t.Errorf("%+v was refused and changed the state", c)
		}
		return false
	}
	loaded, err := Load(context.Background(), m.store)
	if err != nil {
		t.Fatalf("%+v: then the store cannot be loaded: %v", c, err)
	}
	same(t, m.state, loaded)
	return true
}

func started(t *testing.T) *machine {
	t.Helper()
	m := newMachine()
	if _, _, err := m.run(StartServer{}); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHostileNames(t *testing.T) {
	m := started(t)
	made := 0
	for _, text := range hostileTexts {
		plain := text != "" && len(text) <= 255 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
		if got := m.accepted(t, CreateTable{TableSpec: spec(text)}); got != plain {
			t.Errorf("table %.40q: accepted = %v", text, got)
		} else if got {
			made++
		}
		m.accepted(t, DropTable{Database: "default", Name: text})
		m.accepted(t, DropTable{Database: text, Name: "a", IfExists: true})
		in := spec("a")
		in.Database = text
		m.accepted(t, CreateTable{TableSpec: in})
		m.accepted(t, InitWriter{Name: text})
		m.accepted(t, InitWriter{Name: text, Principal: text})
		m.accepted(t, InitWriter{Principal: text})
	}
	if made < 10 {
		t.Errorf("only %d tables were made", made)
	}
}

// TestHostileChanges sends odd names and texts with everything that is said of tables and databases that exist.
func TestHostileChanges(t *testing.T) {
	m := started(t)
	s := partitionedSpec("default", "a")
	s.Schema = arrow.NewSchema([]arrow.Field{
		{Name: "Größe", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "x", Type: arrow.PrimitiveTypes.Int8, Nullable: true}}, nil)
	if !m.accepted(t, CreateTable{TableSpec: s}) {
		t.Fatal("the table was refused")
	}
	made := 0
	for _, text := range hostileTexts {
		count := func(ok bool) {
			if ok {
				made++
			}
		}
		count(m.accepted(t, CreateDatabase{Name: text, Comment: text, Properties: map[string]string{text: text}}))
		count(m.accepted(t, AlterDatabase{Name: "default", Comment: &text, Set: map[string]string{text: "v", "k": text}, Reset: []string{text}}))
		m.accepted(t, DropDatabase{Name: text, Cascade: true})
		count(m.accepted(t, CreatePartitions{Table: 1, Names: []string{text}}))
		count(m.accepted(t, CreatePartitions{Table: 1, Names: []string{"Größe=" + text}}))
		m.accepted(t, DropPartition{Table: 1, Name: "Größe=" + text, IfExists: true})
		count(m.accepted(t, CommitCursor{Table: 1, Name: text, Offsets: Vector{0: {-1: -1}, 7: {1 << 30: 1 << 62}}}))
		m.accepted(t, ResetCursor{Table: 1, Name: text})
		for _, change := range []quiver.SchemaChange{
			{Add: &quiver.AddColumn{Name: text, Type: "int8"}}, {Add: &quiver.AddColumn{Name: "y", Type: text, After: text}},
			{Drop: text}, {Rename: &quiver.RenameColumn{From: "x", To: text}}, {Widen: &quiver.WidenColumn{Name: text, Type: text}},
			{Move: &quiver.MoveColumn{Name: "x", After: text}},
		} {
			count(m.accepted(t, AlterTable{Database: "default", Name: "a", Changes: []quiver.TableChange{{SchemaChange: change}}}))
		}
		count(m.accepted(t, AlterTable{Database: "default", Name: "a", Changes: []quiver.TableChange{{Comment: &text}}}))
		m.accepted(t, AlterTable{Database: text, Name: text, Changes: []quiver.TableChange{{Set: map[string]string{text: text}}}})
		m.accepted(t, AlterTable{Database: "default", Name: "a", Changes: []quiver.TableChange{{Set: map[string]string{text: text}}, {Reset: []string{text}}}})
	}
	if made < 50 {
		t.Errorf("only %d were accepted", made)
	}
}

// TestNamesDoNotMix: principal and name together say who a writer is, however they are cut.
func TestNamesDoNotMix(t *testing.T) {
	m := started(t)
	ids := map[quiver.WriterID]string{}
	for _, w := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"", "abc"}, {"abc", "x"}, {"a/", "b"}, {"a", "/b"}, {"\x00a", "b"}} {
		_, r, err := m.run(InitWriter{Principal: w[0], Name: w[1]})
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := ids[r.Writer.ID]; taken {
			t.Errorf("%q has the id of %s", w, other)
		}
		ids[r.Writer.ID] = fmt.Sprintf("%q", w)
	}
}

func TestHostileTexts(t *testing.T) {
	m := started(t)
	for i, text := range hostileTexts {
		s := spec(fmt.Sprintf("comment%d", i))
		s.Comment = text
		m.accepted(t, CreateTable{TableSpec: s})
		s = spec(fmt.Sprintf("column%d", i))
		s.Schema = arrow.NewSchema([]arrow.Field{{Name: text, Type: arrow.PrimitiveTypes.Int8}}, nil)
		m.accepted(t, CreateTable{TableSpec: s})
		s = spec(fmt.Sprintf("metadata%d", i))
		md := arrow.NewMetadata([]string{text, "k"}, []string{"v", text})
		s.Schema = arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int8, Metadata: md}}, &md)
		m.accepted(t, CreateTable{TableSpec: s})
	}
}

// TestHostileOptions tries random options together.
func TestHostileOptions(t *testing.T) {
	r := seeded(t)
	m := started(t)
	defaults, err := quiver.ParseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"retention.tim", "", "aggregate.x", strings.Repeat("o", 5000), "Retention.Time"}
	for name := range defaults.All() {
		known = append(known, name)
	}
	values := append([]string{
		"1", "0", "-1", "none", "7d", "90s", "1ns", "100000d", "64MiB", "1e9", "999999999999999999999", "9223372036854775807",
		"lz4", "zstd", "LZ4", "true", "false", " 7d", "7 d", "7d7d", "0x10", "∞", "null",
	}, hostileTexts...)
	made := 0
	for i := range 500 {
		s := spec(fmt.Sprintf("t%d", i))
		s.Options = map[string]string{}
		for range r.IntN(4) {
			s.Options[known[r.IntN(len(known))]] = values[r.IntN(len(values))]
		}
		s.Buckets = []int32{0, 1, 7, -1, quiver.MaxBuckets + 1, -1 << 31, 1<<31 - 1}[r.IntN(7)]
		if m.accepted(t, CreateTable{TableSpec: s}) {
			made++
		}
	}
	if made == 0 {
		t.Error("nothing was made")
	}
}

// TestDamagedRecords flips bytes of random values in a store. Loading gives an error or a state, never a panic.
func TestDamagedRecords(t *testing.T) {
	r := seeded(t)
	m := started(t)
	for range 100 {
		_, _, _ = m.run(randomCommand(r, m.now))
	}
	var entries []metastore.Entry
	if _, err := m.store.Range(context.Background(), "", func(e metastore.Entry) error { entries = append(entries, e); return nil }); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for range 2000 {
		store := metastore.NewMemory()
		txn := metastore.Txn{Request: metastore.RequestID{1}}
		hit := r.IntN(len(entries))
		for i, e := range entries {
			value := bytes.Clone(e.Value)
			if i == hit {
				value = mangle(r, value)
			}
			txn.Puts = append(txn.Puts, metastore.Put{Key: e.Key, Value: value})
		}
		if _, err := store.Commit(context.Background(), txn); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(context.Background(), store); err != nil {
			refused++
			want(t, err, quiver.Internal, quiver.NotDone)
		}
	}
	if refused == 0 {
		t.Error("no damage was seen")
	}
}

func mangle(r *rand.Rand, value []byte) []byte {
	switch r.IntN(3) {
	case 0:
		return value[:r.IntN(len(value))]
	case 1:
		return append(value, value[:r.IntN(len(value))]...)
	}
	for range 1 + r.IntN(3) {
		value[r.IntN(len(value))] ^= byte(1 << r.IntN(8))
	}
	return value
}
