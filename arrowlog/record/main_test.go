package record

import (
	"flag"
	"os"
	"testing"

	"github.com/quiverlog/quiver/internal/buf"
)

// TestMain poisons released memory, so that use after release shows; but not where time is measured.
func TestMain(m *testing.M) {
	flag.Parse()
	buf.SetPoison(flag.Lookup("test.bench").Value.String() == "")
	os.Exit(m.Run())
}
