package node

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	qfs "github.com/quiverlog/quiver/internal/fs"
)

// The parts of the manual that the program itself knows best are made from it: -update (make docs) writes them anew,
// and without it a stale one fails.
var update = flag.Bool("update", false, "write the generated parts of docs anew")

// checkPage compares the part of a page between two marks with what it should be, or rewrites it.
func checkPage(t *testing.T, page, mark, want string) {
	t.Helper()
	path := filepath.Join("..", "docs", page)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := fmt.Sprintf("<!-- %s: made by make docs -->\n", mark), fmt.Sprintf("<!-- end of %s -->", mark)
	before, rest, found := strings.Cut(string(text), begin)
	have, after, closed := strings.Cut(rest, end)
	switch {
	case !found || !closed:
		t.Fatalf("%s has no marks %q and %q", path, begin, end)
	case have == want:
	case *update:
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the part %q of %s is stale: make docs", mark, path)
	}
}

// table writes a table in Markdown.
func table(columns []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		for _, cell := range cells {
			b.WriteString("| " + strings.ReplaceAll(cell, "|", `\|`) + " ")
		}
		b.WriteString("|\n")
	}
	line(columns)
	b.WriteString(strings.Repeat("|---", len(columns)) + "|\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

func TestPageOfMetricsIsFresh(t *testing.T) {
	r := start(t, qfs.NewMem())
	work(t, r)
	got := scrape(t, r)
	var rows [][]string
	for name, family := range got {
		if !strings.HasPrefix(name, "quiver_") {
			continue
		}
		var labels []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if len(labels) > 0 {
			name += "{" + strings.Join(labels, ", ") + "}"
		}
		rows = append(rows, []string{"`" + name + "`", strings.ToLower(family.GetType().String()), family.GetHelp()})
	}
	slices.SortFunc(rows, slices.Compare)
	checkPage(t, "operating.md", "metrics", table([]string{"metric", "kind", "meaning"}, rows))
}

// TestPagesNameMetricsThatThereAre looks at queries and alerts.
func TestPagesNameMetricsThatThereAre(t *testing.T) {
	r := start(t, qfs.NewMem())
	work(t, r)
	got := scrape(t, r)
	pages, err := filepath.Glob("../docs/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bquiver_[a-z_]*[a-z]\b`).FindAllString(string(text), -1) {
			base := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if found, ok := strings.CutSuffix(name, suffix); ok && got[found] != nil {
					base = found
				}
			}
			if got[base] == nil {
				t.Errorf("%s names %s, which is no metric", page, name)
			}
		}
	}
}

// inPyarrow is what each status becomes there.
var inPyarrow = map[codes.Code]string{
	codes.InvalidArgument:    "ArrowInvalid",
	codes.NotFound:           "ArrowKeyError",
	codes.AlreadyExists:      "ArrowException",
	codes.OutOfRange:         "ArrowInvalid",
	codes.FailedPrecondition: "ArrowInvalid",
	codes.ResourceExhausted:  "ArrowInvalid",
	codes.Unavailable:        "FlightUnavailableError",
	codes.Unauthenticated:    "FlightUnauthenticatedError",
	codes.PermissionDenied:   "FlightUnauthorizedError",
	codes.DataLoss:           "FlightInternalError",
	codes.Internal:           "FlightInternalError",
}

func TestPageOfErrorsIsFresh(t *testing.T) {
	var rows [][]string
	for _, reason := range quiver.AllReasons() {
		info := quiver.Reasons[reason]
		code := status.Code(flight.ToStatus(quiver.Errorf(reason, "it")))
		exception, known := inPyarrow[code]
		if !known {
			t.Errorf("%s is %v, and what that is in pyarrow is not known", reason, code)
		}
		again := "no"
		if info.Retriable() {
			again = "yes"
		}
		rows = append(rows, []string{"`" + string(reason) + "`", code.String(), "`" + exception + "`", again, info.Outcome.String(), info.Meaning})
	}
	checkPage(t, "errors.md", "errors", table([]string{"reason", "gRPC", "in pyarrow", "again?", "outcome", "meaning"}, rows))
}

func TestPageOfActionsIsFresh(t *testing.T) {
	r := start(t, qfs.NewMem())
	var rows [][]string
	for _, raw := range r.service.Actions() {
		var action struct{ Action, About, Permission, Example string }
		if err := json.Unmarshal(raw, &action); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []string{"`" + action.Action + "`", action.About, action.Permission, "`" + action.Example + "`"})
	}
	checkPage(t, "actions.md", "actions", table([]string{"action", "what it does", "needs", "example body"}, rows))
}

// logged is one line that the program may write to its log.
type logged struct {
	level, message string
	keys           []string
	where          string // the package
}

func TestPageOfLogLinesIsFresh(t *testing.T) {
	var rows [][]string
	for _, l := range allLogged(t) {
		rows = append(rows, []string{l.level, l.message, strings.Join(l.keys, ", "), l.where})
	}
	checkPage(t, "operating.md", "log lines", table([]string{"level", "message", "attributes", "from"}, rows))
}

// allLogged finds every call of a logger in the program. That messages and the names of attributes are constants is
// checked on the way: somebody searches for them, and alerts on them.
func allLogged(t *testing.T) []logged {
	t.Helper()
	var all []logged
	fset := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "bench", "conformance", "bin"}, d.Name())):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		where, _ := filepath.Rel("..", filepath.Dir(path))
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if line, ok := loggedBy(t, fset, call); ok {
					line.where = where
					all = append(all, line)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rank := map[string]int{"Error": 0, "Warn": 1, "Info": 2, "Debug": 3}
	slices.SortFunc(all, func(a, b logged) int {
		if a.level != b.level {
			return rank[a.level] - rank[b.level]
		}
		return strings.Compare(a.where+a.message, b.where+b.message)
	})
	return slices.CompactFunc(all, func(a, b logged) bool { return a.level+a.where+a.message == b.level+b.where+b.message })
}

// loggedBy takes a call of a logger apart. A logger is what is named so.
func loggedBy(t *testing.T, fset *token.FileSet, call *ast.CallExpr) (line logged, ok bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, method.Sel.Name) {
		return line, false
	}
	var name string
	switch x := method.X.(type) {
	case *ast.SelectorExpr:
		name = x.Sel.Name
	case *ast.Ident:
		name = x.Name
	}
	if !strings.EqualFold(name, "logger") && name != "slog" && name != "log" {
		return line, false
	}
	at := fset.Position(call.Pos())
	line.level = method.Sel.Name
	if line.message, ok = constant(call.Args[0]); !ok {
		t.Errorf("%s: the message is no constant; what differs goes into attributes", at)
		return line, false
	}
	attributes := call.Args[1:]
	if len(attributes)%2 != 0 {
		t.Errorf("%s: attributes come in pairs", at)
	}
	for i := 0; i < len(attributes); i += 2 {
		key, ok := constant(attributes[i])
		if !ok || !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(key) {
			t.Errorf("%s: the attribute %q is no constant in small letters", at, key)
		}
		if key == "error" {
			t.Errorf("%s: an error's attribute is err", at)
		}
		line.keys = append(line.keys, key)
	}
	return line, true
}

// constant gives the text of a literal, or of several that are added.
func constant(e ast.Expr) (string, bool) {
	switch x := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, ok := constant(x.X)
		right, also := constant(x.Y)
		return left + right, ok && also
	}
	return "", false
}
