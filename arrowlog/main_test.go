package arrowlog

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/quiverlog/quiver/internal/buf"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" { // released memory is overwritten, which takes time
		buf.SetPoison(true)
	}
	goleak.VerifyTestMain(m)
}
