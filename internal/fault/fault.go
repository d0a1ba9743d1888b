package fault

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Variable is the environment variable that arms the points of a real server.
const Variable = "QUIVER_FAULT"

// DiskVariable is the environment variable that names a file of orders for the disk, which package fs carries out.
const DiskVariable = "QUIVER_FAULT_DISK"

// DoneSuffix ends the name of the file beside it in which is noted what became of these orders.
const DoneSuffix = ".done"

// List is the value of the variable that asks for the names of all points.
const List = "list"

// legalName is words of lower-case letters, digits and dashes, joined by dots.
var legalName = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`)

// points holds every point of the program by its name. Packages fill it while they are initialised.
var points = struct {
	sync.Mutex
	byName map[string]Point
}{byName: map[string]Point{}}

// New declares a point. Names are "package.operation.step" and unique in the program.
func New(name string) Point {
	points.Lock()
	defer points.Unlock()
	if !legalName.MatchString(name) {
		panic(fmt.Sprintf("fault: point %q is not named like package.operation.step", name))
	}
	if _, ok := points.byName[name]; ok {
		panic(fmt.Sprintf("fault: point %q is declared twice", name))
	}
	p := newPoint(name)
	points.byName[name] = p
	return p
}

// Name is the name the point was declared with.
func (p Point) Name() string { return p.name }

// Names lists every point of the program in order.
func Names() []string {
	points.Lock()
	defer points.Unlock()
	return slices.Sorted(maps.Keys(points.byName))
}

// Listing tells whether the environment asks for the names instead of a run.
func Listing() bool { return os.Getenv(Variable) == List }

// Setup arms the points that the environment names. The program calls it first and stops if it fails.
func Setup() error {
	if disk := os.Getenv(DiskVariable); disk != "" && !Enabled {
		return fmt.Errorf("%s=%q: %w", DiskVariable, disk, setup(""))
	}
	orders := os.Getenv(Variable)
	if orders == "" || orders == List {
		return nil
	}
	if err := setup(orders); err != nil {
		return fmt.Errorf("%s=%q: %w", Variable, orders, err)
	}
	return nil
}

// find returns the point of that name.
func find(name string) (Point, error) {
	points.Lock()
	defer points.Unlock()
	p, ok := points.byName[name]
	if !ok {
		return Point{}, fmt.Errorf("no point is named %q; this program has: %s", name,
			strings.Join(slices.Sorted(maps.Keys(points.byName)), " "))
	}
	return p, nil
}
