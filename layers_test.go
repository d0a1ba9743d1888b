package quiver_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/quiverlog/quiver"

// layer is one row of the table: a package and what it may import of ours.
type layer struct {
	path   string   // below the module; "" is the root; "cmd/*" stands for every package in there
	allows []string // rows above it
	goes   string   // the fences it may cross to third-party code
	tests  []string // rows below it that its tests may import all the same, with the reason beside them
}

// anyAbove allows every row above that is no program.
const anyAbove = "any of the above"

// layers is every legal import among our packages. It stands in the order of the layers: imports go up in the list,
// never down. A new edge or a new package is a reviewed line here.
var layers = []layer{
	{path: ""},
	{path: "internal/fault"},
	{path: "internal/fs", allows: []string{"internal/fault"}, goes: "vfs"},
	{path: "internal/buf"},
	{path: "internal/agenda"},
	{path: "internal/planted"},
	{path: "internal/recordfile", allows: []string{"internal/fs"}, goes: "pebble"},
	{path: "internal/filter", allows: []string{""}},
	{path: "internal/registertest"},
	{path: "arrowlog/record", allows: []string{"", "internal/buf", "internal/planted"}},
	// Files of anyone pass checks of the gate before the Arrow library believes their counts.
	{path: "internal/tabular", allows: []string{"", "arrowlog/record"}, goes: "parquet"},
	{path: "arrowlog", allows: []string{"", "arrowlog/record", "internal/fs", "internal/buf", "internal/fault", "internal/agenda", "internal/planted"}},
	{path: "kv", allows: []string{"", "internal/fs", "internal/fault", "internal/planted", "internal/recordfile"}, goes: "pebble vfs"},
	{path: "lakehouse", allows: []string{"", "arrowlog/record", "internal/filter", "internal/buf", "internal/fault"}, goes: "parquet"},
	{path: "tablet/scan", allows: []string{"", "arrowlog/record", "internal/filter", "internal/buf", "internal/planted"}},
	{path: "tablet/replica", allows: []string{""}},
	{path: "tablet", allows: []string{anyAbove}},
	{path: "coordinator/metastore", allows: []string{"internal/fs", "internal/fault", "internal/planted"}, goes: "pebble vfs zookeeper"},
	{path: "coordinator", allows: []string{"", "coordinator/metastore", "internal/planted"}},
	{path: "flight/internal/codec", allows: []string{"internal/buf"}, goes: "grpc"},
	{path: "flight/internal/intake", allows: []string{""}, goes: "grpc"},
	// The Go client passes what a server sends through the same gate as a server passes what a client sends.
	{path: "flight", allows: []string{"", "flight/internal/codec", "arrowlog/record"}, goes: "grpc",
		tests: []string{"node"}}, // godoc shows the client's examples where the client is, and they run against a real node
	{path: "flight/server", allows: []string{"", "flight", "flight/internal/codec", "flight/internal/intake", "arrowlog/record", "internal/filter", "kv", "tablet/scan", "tablet", "coordinator", "internal/buf", "internal/fault"}, goes: "grpc"},
	{path: "node", allows: []string{anyAbove}},
	{path: "cmd/*", allows: []string{anyAbove}},
	{path: "sim", allows: []string{anyAbove}},
	{path: "torture", allows: []string{anyAbove, "internal/registertest"}, goes: everything},
	{path: "bench/measure"},
	{path: "bench/peers", allows: []string{anyAbove}, goes: everything},
	{path: "hostile", allows: []string{anyAbove}, goes: everything},
	{path: "bench", allows: []string{anyAbove}, goes: everything},
	{path: "conformance", allows: []string{anyAbove}, goes: everything},
}

// programs are packages that nobody imports.
var programs = []string{"cmd/*", "sim", "torture", "bench", "bench/peers", "conformance"}

// fences keep third-party code where it belongs. Tests may use all of it.
var fences = []struct {
	name string
	code []string // import paths, each with everything below it
	not  string   // but not this path and what is below it
}{
	{name: "grpc", code: []string{"google.golang.org/grpc", "github.com/apache/arrow-go/v18/arrow/flight"}},
	{name: "parquet", code: []string{"github.com/apache/arrow-go/v18/parquet", "github.com/apache/iceberg-go"}},
	{name: "pebble", code: []string{"github.com/cockroachdb/pebble"}, not: "github.com/cockroachdb/pebble/v2/vfs"},
	{name: "vfs", code: []string{"github.com/cockroachdb/pebble/v2/vfs"}},
	{name: "zookeeper", code: []string{"github.com/go-zookeeper/zk"}},
}

// everything opens all fences.
const everything = "everything"

// pure are the packages that start no goroutine: the protocol cores, the logs, and what lies below them.
var pure = []string{"", "internal/fs", "internal/buf", "internal/fault", "internal/planted", "internal/filter", "arrowlog", "arrowlog/record", "tablet/replica", "coordinator"}

// aliases are the names under which some packages are imported everywhere, because theirs say too little.
var aliases = map[string]string{
	"github.com/apache/arrow-go/v18/arrow/flight": "afl",
	"github.com/apache/arrow-go/v18/arrow/ipc":    "aipc",
}

// listed is what "go list" tells of a package.
type listed struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestLayers(t *testing.T) {
	seen := map[string]bool{}
	for _, pkg := range listPackages(t) {
		for _, fault := range check(pkg) {
			if !seen[fault] {
				t.Error(fault)
			}
			seen[fault] = true
		}
	}
}

// check returns what is wrong with the imports of a package.
func check(pkg listed) (faults []string) {
	path := strings.TrimPrefix(strings.TrimPrefix(pkg.ImportPath, module), "/")
	row := rowOf(path)
	if row < 0 {
		return []string{fmt.Sprintf("package %s has no row in layers", pkg.ImportPath)}
	}
	report := func(imported, why string) {
		faults = append(faults, fmt.Sprintf("%s imports %s: %s", name(path), name(imported), why))
	}
	for _, imported := range pkg.Imports {
		if own, ok := ours(imported); !ok {
			if fence := fenceOf(imported); fence != "" && !opens(layers[row].goes, fence) {
				report(imported, "that belongs to the packages with "+fence)
			}
		} else if !mayImport(row, own) {
			report(own, "its row in layers does not allow it")
		}
	}
	for _, imported := range slices.Concat(pkg.TestImports, pkg.XTestImports) {
		own, ok := ours(imported)
		if target := rowOf(own); ok && own != path && !isHelper(own) && (target < 0 || target > row) && !slices.Contains(layers[row].tests, own) {
			report(own, "its tests may import only what stands above it in layers")
		}
	}
	return faults
}

// rowOf returns the index of a package's row, or -1.
func rowOf(path string) int {
	return slices.IndexFunc(layers, func(l layer) bool { return covers(l.path, path) })
}

// covers tells whether a row is about the package.
func covers(row, path string) bool {
	if dir, ok := strings.CutSuffix(row, "*"); ok {
		return strings.HasPrefix(path, dir)
	}
	return row == path
}

// mayImport tells whether the row allows an import of our package. A helper of tests has to be named.
func mayImport(row int, path string) bool {
	target := rowOf(path)
	switch {
	case target < 0 || target >= row:
		return false
	case isHelper(path):
		return slices.Contains(layers[row].allows, path)
	case slices.Contains(programs, layers[target].path):
		return false
	}
	return slices.Contains(layers[row].allows, path) || slices.Contains(layers[row].allows, anyAbove)
}

// isHelper tells whether a package exists for tests: internal/testutil, internal/logtest.
func isHelper(path string) bool {
	base, ok := strings.CutPrefix(path, "internal/")
	return ok && (strings.HasPrefix(base, "test") || strings.HasSuffix(base, "test"))
}

// ours returns the path of one of our packages below the module.
func ours(imported string) (path string, ok bool) {
	if imported == module {
		return "", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// fenceOf returns the name of the fence around third-party code, or "".
func fenceOf(imported string) string {
	for _, f := range fences {
		within := slices.ContainsFunc(f.code, func(code string) bool { return isBelow(code, imported) })
		if within && (f.not == "" || !isBelow(f.not, imported)) {
			return f.name
		}
	}
	return ""
}

func isBelow(path, imported string) bool {
	return imported == path || strings.HasPrefix(imported, path+"/")
}

func opens(goes, fence string) bool {
	return goes == everything || slices.Contains(strings.Fields(goes), fence)
}

func name(path string) string {
	if path == "" {
		return "the root package"
	}
	return path
}

// TestLayersSeeViolations proves that the check is not blind.
func TestLayersSeeViolations(t *testing.T) {
	for _, c := range []struct {
		from, to string
		test     bool
		want     string
	}{
		{from: "arrowlog", to: module + "/arrowlog/record"},
		{from: "arrowlog/record", to: module + "/arrowlog", want: "does not allow"},
		{from: "arrowlog/record", to: module + "/internal/fs", want: "does not allow"},
		{from: "arrowlog/record", to: module + "/internal/fs", test: true},
		{from: "arrowlog/record", to: module + "/arrowlog", test: true, want: "above it"},
		{from: "", to: module + "/internal/buf", want: "does not allow"},
		{from: "internal/buf", to: module, want: "does not allow"},
		{from: "tablet", to: module + "/kv"},
		{from: "tablet", to: module + "/coordinator", want: "does not allow"},
		{from: "flight/server", to: module + "/arrowlog", want: "does not allow"},
		{from: "node", to: module + "/flight/server"},
		{from: "cmd/quiver", to: module + "/node"},
		{from: "bench", to: module + "/cmd/quiver", want: "does not allow"},
		{from: "sim", to: module + "/cmd/other", want: "does not allow"},
		{from: "cmd/quiver", to: module + "/cmd/other", want: "does not allow"},
		{from: "flight", to: module + "/node", test: true},
		{from: "flight", to: module + "/node", want: "does not allow"},
		{from: "flight", to: module + "/tablet/scan", test: true},
		{from: "flight/server", to: module + "/node", test: true, want: "above it"},
		{from: "arrowlog", to: module + "/internal/logtest", test: true},
		{from: "arrowlog", to: module + "/internal/logtest", want: "does not allow"},
		{from: "surprise", to: "fmt", want: "no row"},
		{from: "arrowlog", to: module + "/surprise", want: "does not allow"},
		{from: "node", to: "google.golang.org/grpc/mem", want: "with grpc"},
		{from: "node", to: "google.golang.org/grpc/mem", test: true},
		{from: "flight", to: "github.com/apache/arrow-go/v18/arrow/flight"},
		{from: "bench", to: "github.com/apache/arrow-go/v18/arrow/flight"},
		{from: "arrowlog", to: "github.com/cockroachdb/pebble/v2/vfs", want: "with vfs"},
		{from: "arrowlog", to: "github.com/cockroachdb/pebble/v2", want: "with pebble"},
		{from: "internal/fs", to: "github.com/cockroachdb/pebble/v2/sstable", want: "with pebble"},
		{from: "internal/fs", to: "github.com/cockroachdb/pebble/v2/vfs"},
		{from: "coordinator/metastore", to: "github.com/cockroachdb/pebble/v2"},
		{from: "tablet", to: "github.com/apache/arrow-go/v18/parquet/file", want: "with parquet"},
		{from: "coordinator", to: "github.com/go-zookeeper/zk", want: "with zookeeper"},
	} {
		pkg := listed{ImportPath: strings.TrimSuffix(module+"/"+c.from, "/")}
		if c.test {
			pkg.TestImports = []string{c.to}
		} else {
			pkg.Imports = []string{c.to}
		}
		got := strings.Join(check(pkg), "\n")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s to %s (test: %v): %q, want %q", name(c.from), c.to, c.test, got, c.want)
		}
	}
}

// TestHouseRules checks what the source shows without being compiled: aliases, and where goroutines start.
func TestHouseRules(t *testing.T) {
	seen := map[string]bool{}
	for _, pkg := range listPackages(t) {
		path, _ := ours(pkg.ImportPath)
		for _, file := range slices.Concat(pkg.GoFiles, pkg.TestGoFiles, pkg.XTestGoFiles) {
			if seen[path+"/"+file] {
				continue
			}
			seen[path+"/"+file] = true
			isCode := !strings.HasSuffix(file, "_test.go")
			fset := token.NewFileSet()
			parsed, err := parser.ParseFile(fset, filepath.Join(pkg.Dir, file), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			checkAliases(t, fset, parsed)
			if isCode && slices.Contains(pure, path) {
				checkNoGoroutine(t, fset, parsed)
			}
		}
	}
}

func checkAliases(t *testing.T, fset *token.FileSet, file *ast.File) {
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if want := aliases[imported]; err == nil && want != "" && (spec.Name == nil || spec.Name.Name != want) {
			t.Errorf("%s: %s is imported as %s everywhere", fset.Position(spec.Pos()), imported, want)
		}
	}
}

func checkNoGoroutine(t *testing.T, fset *token.FileSet, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		if start, ok := n.(*ast.GoStmt); ok {
			t.Errorf("%s: this package starts no goroutine", fset.Position(start.Pos()))
		}
		return true
	})
}

// listPackages lists our packages as they are built without and with fault points, and with planted bugs.
func listPackages(t *testing.T) []listed {
	t.Helper()
	var all []listed
	for _, tags := range []string{"", "fault", "fault,planted"} {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-tags="+tags, "-json", "./...")
		out, err := cmd.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v: %v\n%s", cmd, err, exit.Stderr)
		}
		if err != nil {
			t.Fatal(err)
		}
		for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
			var pkg listed
			if err := decoder.Decode(&pkg); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			all = append(all, pkg)
		}
	}
	return all
}
