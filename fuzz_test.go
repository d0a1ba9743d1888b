package quiver_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inventory is the page that names every parser of foreign bytes, and the fuzz target that feeds it.
const inventory = "docs/hostile.md"

// trusted are functions that are called like parsers and read nothing that comes from outside, with the reason.
var trusted = map[string]string{
	"bench parseStat":                  "reads what the kernel tells, in a benchmark",
	"flight structField.parseTag":      "reads the tags of a program's own types",
	"internal/fault parseOrder":        "reads orders of tests, in programs that are built for tests",
	"arrowlog/record ParseCompression": "compares a word with three others",
}

// trustedBelow are folders of programs for tests, which read what they wrote.
var trustedBelow = []string{"torture", "hostile", "bench", "examples", "conformance", "internal/registertest"}

var parserName = regexp.MustCompile(`(?i)^(parse|decode|unmarshal|unframe)`)

// source is what the packages have of parsers and targets, each as "package name".
type source struct {
	parsers map[string]bool
	targets map[string]bool // true: with seeds
}

// TestEveryParserIsFuzzed compares the packages with the inventory.
func TestEveryParserIsFuzzed(t *testing.T) {
	found := source{parsers: map[string]bool{}, targets: map[string]bool{}}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			return found.read(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	targets, parsers := readInventory(t)
	for target, seeds := range found.targets {
		if !targets[target] {
			t.Errorf("%s has no row in %s", target, inventory)
		}
		if !seeds {
			t.Errorf("%s has no seeds", target)
		}
	}
	for target := range targets {
		if _, there := found.targets[target]; !there {
			t.Errorf("%s has a row for %s, which is not there", inventory, target)
		}
	}
	for p := range found.parsers {
		if trusted[p] == "" && !parsers[p] {
			t.Errorf("%s is no parser of any target in %s: name it with the target that feeds it, after you saw that it does", p, inventory)
		}
	}
	for p := range parsers {
		if !found.parsers[p] {
			t.Errorf("%s names the parser %s, which is not there", inventory, p)
		}
	}
}

// read notes the parsers or targets of a file.
func (s *source) read(path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return err
	}
	dir := filepath.ToSlash(filepath.Dir(path))
	for _, top := range trustedBelow {
		if dir == top || strings.HasPrefix(dir, top+"/") {
			return nil
		}
	}
	for _, declared := range file.Decls {
		function, ok := declared.(*ast.FuncDecl)
		switch {
		case !ok:
		case strings.HasSuffix(path, "_test.go"):
			if name := function.Name.Name; strings.HasPrefix(name, "Fuzz") {
				_, err := os.Stat(filepath.Join(dir, "testdata", "fuzz", name))
				s.targets[dir+" "+name] = err == nil || adds(function)
			}
		case parserName.MatchString(function.Name.Name) && takesText(function):
			s.parsers[dir+" "+receiver(function)+function.Name.Name] = true
		}
	}
	return nil
}

// takesText tells whether a function has a parameter of text or bytes.
func takesText(f *ast.FuncDecl) bool {
	for _, p := range f.Type.Params.List {
		switch t := p.Type.(type) {
		case *ast.Ident:
			if t.Name == "string" {
				return true
			}
		case *ast.ArrayType:
			if of, ok := t.Elt.(*ast.Ident); ok && of.Name == "byte" {
				return true
			}
		}
	}
	return false
}

// receiver is the type that a method belongs to, with a dot; "" for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

// adds tells whether a target adds seeds.
func adds(f *ast.FuncDecl) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.SelectorExpr)
		found = found || ok && call.Sel.Name == "Add"
		return !found
	})
	return found
}

// readInventory reads the rows of the table: which targets there are, and which parsers they feed. A parser of another
// package is written with its package before it.
func readInventory(t *testing.T) (targets, parsers map[string]bool) {
	t.Helper()
	text, err := os.ReadFile(inventory)
	if err != nil {
		t.Fatal(err)
	}
	targets, parsers = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || !strings.HasPrefix(strings.TrimSpace(cells[2]), "`Fuzz") {
			continue
		}
		dir, target := strings.Trim(cells[1], " `"), strings.Trim(cells[2], " `")
		targets[dir+" "+target] = true
		for name := range strings.SplitSeq(cells[3], ",") {
			name = strings.Trim(name, " `")
			switch {
			case strings.Contains(name, " "):
				parsers[name] = true
			case name != "":
				parsers[dir+" "+name] = true
			}
		}
	}
	return targets, parsers
}
