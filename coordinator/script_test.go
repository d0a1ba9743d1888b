package coordinator

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

var update = flag.Bool("update", false, "write the answers into testdata")

// machine is the pure machine on a store in memory: what a script talks to.
type machine struct {
	store *metastore.Memory
	state *State
	now   int64
	last  uint64 // request id
}

func newMachine() *machine {
	return &machine{store: metastore.NewMemory(), state: &State{}, now: 1_000_000}
}

// run decides a command and carries it out. The state is what the fold gives, or a fresh load now and then would.
func (m *machine) run(c Command) (metastore.Txn, Result, error) {
	txn, result, err := Apply(m.state, c)
	if err != nil || len(txn.Puts)+len(txn.Deletes) == 0 {
		return txn, result, err
	}
	m.last++
	txn.Request = metastore.RequestID{8: byte(m.last >> 8), 9: byte(m.last), 15: 1}
	r, err := m.store.Commit(context.Background(), txn)
	if err != nil {
		return txn, result, err
	}
	next := *m.state
	if err := next.fold(&txn); err != nil {
		return txn, result, err
	}
	next.settle()
	next.version = r.Version
	m.state = &next
	return txn, result, nil
}

// TestScripts runs testdata/*.txt: a line of input, "----", the answer, an empty line. A line "# …" is a comment, and
// "at 5d" sets the clock. With -update the answers are written anew.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine()
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		var input []string
		for line := range strings.SplitSeq(block, "\n") {
			if line == "----" {
				break
			}
			input = append(input, line)
		}
		command := input[len(input)-1]
		answer := ""
		if !strings.HasPrefix(command, "#") {
			answer = "----\n" + m.talk(command)
		}
		fmt.Fprintf(&out, "%s\n%s\n", strings.Join(input, "\n"), answer)
	}
	got := strings.TrimRight(out.String(), "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(text); got != want {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

// talk runs one line of a script.
func (m *machine) talk(line string) string {
	words := strings.Fields(line)
	args := words[1:]
	switch words[0] {
	case "at":
		d, err := quiver.ParseDuration(args[0])
		if err != nil {
			return err.Error() + "\n"
		}
		m.now = 1_000_000 + d.Milliseconds()
		return ""
	case "desired":
		return formatDesired(m.state.Desired())
	case "reload":
		state, err := Load(context.Background(), m.store)
		if err != nil {
			return err.Error() + "\n"
		}
		m.state = state
		return formatDesired(m.state.Desired())
	}
	c, err := m.parse(words[0], args)
	if err != nil {
		return "bad script: " + err.Error() + "\n"
	}
	txn, result, err := m.run(c)
	if err != nil {
		return err.Error() + "\n"
	}
	return formatResult(c, result) + formatTxn(txn)
}

// parse reads a command: start, create PATH [key=value…], drop PATH, purge ID, writer [name=N] [id=N] [principal=P],
// elect TABLE/PARTITION/BUCKET, alter PATH [add|drop|reset:NAME…] [FROM=TO…], create-partition TABLE id=V…,
// commit TABLE CURSOR at=PARTITION/BUCKET/OFFSET,…, and so on.
func (m *machine) parse(verb string, args []string) (Command, error) {
	set := map[string]string{}
	var plain []string
	for _, a := range args {
		if key, value, ok := strings.Cut(a, "="); ok {
			set[key] = value
		} else {
			plain = append(plain, a)
		}
	}
	take := func(key string) string { v := set[key]; delete(set, key); return v }
	switch verb {
	case "start":
		return StartServer{Now: m.now}, nil
	case "create":
		database, name, _ := strings.Cut(plain[0], ".")
		buckets, _ := strconv.ParseInt(take("buckets"), 10, 32)
		exists := take("if-not-exists") == "true"
		spec := quiver.TableSpec{
			Database: database, Name: name, Schema: arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil),
			Buckets: int32(buckets), Comment: take("comment"), IfNotExists: exists, Options: set,
		}
		if by := set["by"]; by != "" {
			spec.PartitionBy = []string{by}
			delete(set, "by")
		}
		return CreateTable{TableSpec: spec, Now: m.now}, nil
	case "create-database":
		return CreateDatabase{Name: plain[0], Comment: take("comment"), IfNotExists: take("if-not-exists") == "true", Properties: set, Now: m.now}, nil
	case "alter-database":
		c := AlterDatabase{Name: plain[0], Reset: plain[1:]}
		if text, given := set["comment"]; given {
			c.Comment = &text
			delete(set, "comment")
		}
		c.Set = set
		return c, nil
	case "drop-database":
		return DropDatabase{Name: plain[0], Cascade: take("cascade") == "true", IfExists: take("if-exists") == "true", Now: m.now}, nil
	case "alter":
		database, name, _ := strings.Cut(plain[0], ".")
		return AlterTable{Database: database, Name: name, Changes: parseAlteration(plain[1:], set)}, nil
	case "create-partition":
		id, err := strconv.ParseUint(plain[0], 10, 64)
		for name, value := range set {
			if name != "if-not-exists" {
				plain = append(plain, name+"="+value)
			}
		}
		return CreatePartitions{Table: quiver.TableID(id), Names: plain[1:], IfNotExists: set["if-not-exists"] == "true", Now: m.now}, err
	case "drop-partition":
		id, err := strconv.ParseUint(plain[0], 10, 64)
		return DropPartition{Table: quiver.TableID(id), Name: "id=" + take("id"), IfExists: take("if-exists") == "true", Now: m.now}, err
	case "purge-partition":
		var ref quiver.PartitionRef
		_, err := fmt.Sscanf(plain[0], "%d/%d", &ref.Table, &ref.Partition)
		return PurgePartition{ref}, err
	case "auto":
		return AutoPartitions{Now: m.now}, nil
	case "commit", "reset":
		id, err := strconv.ParseUint(plain[0], 10, 64)
		if verb == "reset" {
			return ResetCursor{Table: quiver.TableID(id), Name: plain[1], Offsets: parseVector(set["to"]), Now: m.now}, err
		}
		c := CommitCursor{Table: quiver.TableID(id), Name: plain[1], Offsets: parseVector(set["at"]), Now: m.now}
		if text, given := set["expect"]; given {
			c.Expect, c.Earliest = parseVector(text), parseVector(set["earliest"])
		}
		return c, err
	case "drop":
		database, name, _ := strings.Cut(plain[0], ".")
		return DropTable{Database: database, Name: name, IfExists: take("if-exists") == "true", Now: m.now}, nil
	case "purge":
		id, err := strconv.ParseUint(plain[0], 10, 64)
		return PurgeTombstone{Table: quiver.TableID(id)}, err
	case "writer":
		w := InitWriter{Name: take("name"), Principal: take("principal"), Now: m.now}
		if text := take("id"); text != "" {
			id, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return nil, err
			}
			w.ID = (*quiver.WriterID)(&id)
		}
		return w, nil
	case "elect":
		var b quiver.BucketID
		_, err := fmt.Sscanf(plain[0], "%d/%d/%d", &b.Table, &b.Partition, &b.Bucket)
		return Elect{Bucket: b}, err
	}
	return nil, fmt.Errorf("no command %q", verb)
}

// parseAlteration reads add:NAME, drop:NAME, reset:OPTION; OPTION=VALUE where there is a dot, and FROM=TO of columns.
func parseAlteration(words []string, set map[string]string) (changes []quiver.TableChange) {
	for _, w := range words {
		verb, name, _ := strings.Cut(w, ":")
		switch verb {
		case "add":
			changes = append(changes, quiver.TableChange{SchemaChange: quiver.SchemaChange{Add: &quiver.AddColumn{Name: name, Type: "int8"}}})
		case "drop":
			changes = append(changes, quiver.TableChange{SchemaChange: quiver.SchemaChange{Drop: name}})
		default:
			changes = append(changes, quiver.TableChange{Reset: []string{name}})
		}
	}
	for _, from := range slices.Sorted(maps.Keys(set)) {
		if strings.Contains(from, ".") {
			changes = append(changes, quiver.TableChange{Set: map[string]string{from: set[from]}})
		} else {
			rename := &quiver.RenameColumn{From: from, To: set[from]}
			changes = append(changes, quiver.TableChange{SchemaChange: quiver.SchemaChange{Rename: rename}})
		}
	}
	return changes
}

// parseVector reads PARTITION/BUCKET/OFFSET with commas between.
func parseVector(text string) Vector {
	v := Vector{}
	for part := range strings.SplitSeq(text, ",") {
		var id quiver.PartitionID
		var bucket int32
		var at quiver.Offset
		if _, err := fmt.Sscanf(part, "%d/%d/%d", &id, &bucket, &at); err != nil {
			continue
		}
		if v[id] == nil {
			v[id] = map[int32]quiver.Offset{}
		}
		v[id][bucket] = at
	}
	return v
}

func formatResult(c Command, r Result) string {
	switch c.(type) {
	case StartServer, Elect:
		return fmt.Sprintf("epoch %d\n", r.Epoch)
	case CreateTable:
		return fmt.Sprintf("table %d %s, changed %v\n", r.Table.ID, r.Table.Path(), r.Changed)
	case CreatePartitions:
		var b strings.Builder
		for _, p := range r.Partitions {
			fmt.Fprintf(&b, "partition %d %s\n", p.ID, p.Name)
		}
		return b.String()
	case InitWriter:
		return fmt.Sprintf("writer %d epoch %d raised %d\n", r.Writer.ID, r.Writer.Epoch, r.Writer.Raised)
	}
	return fmt.Sprintf("changed %v\n", r.Changed)
}

var (
	longSchema = regexp.MustCompile(`"schema":\{[^}]*\}`)
	zeros      = regexp.MustCompile(`/0+([0-9])`)
)

// formatTxn writes a transaction: comparisons with "?", puts with "+", deletes with "-"; ids without leading zeros.
func formatTxn(txn metastore.Txn) string {
	var b strings.Builder
	for _, c := range txn.Compares {
		if c.Version == metastore.Absent {
			fmt.Fprintf(&b, "? %s absent\n", c.Key)
		} else {
			fmt.Fprintf(&b, "? %s @%d\n", c.Key, c.Version)
		}
	}
	for _, p := range txn.Puts {
		fmt.Fprintf(&b, "+ %s %s\n", p.Key, longSchema.ReplaceAll(p.Value, []byte(`"schema":{…}`)))
	}
	for _, key := range txn.Deletes {
		fmt.Fprintf(&b, "- %s\n", key)
	}
	return zeros.ReplaceAllString(b.String(), "/$1")
}

func formatDesired(d quiver.Desired) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version %d, next writer %d\n", d.Version, d.NextWriter)
	for _, t := range d.Tables {
		fmt.Fprintf(&b, "table %d %s, %d buckets", t.ID, t.Path(), t.Buckets)
		if t.Schema.ID() > 1 {
			fmt.Fprintf(&b, ", schema %d %v", t.Schema.ID(), t.Schema.Names())
		}
		b.WriteByte('\n')
		for _, p := range t.Partitions {
			fmt.Fprintf(&b, "partition %d/%d %s\n", t.ID, p.ID, p.Name)
		}
	}
	for _, id := range d.Dropped {
		fmt.Fprintf(&b, "dropped %d\n", id)
	}
	for _, ref := range d.DroppedPartitions {
		fmt.Fprintf(&b, "dropped %d/%d\n", ref.Table, ref.Partition)
	}
	for _, a := range d.Assignments {
		fmt.Fprintf(&b, "bucket %v epoch %d\n", a.Bucket, a.Epoch)
	}
	for _, w := range d.Writers {
		fmt.Fprintf(&b, "writer %d epoch %d raised %d\n", w.ID, w.Epoch, w.Raised)
	}
	return b.String()
}
