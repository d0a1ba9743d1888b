package codec

import (
	"os"
	"testing"

	"github.com/quiverlog/quiver/internal/buf"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	buf.SetPoison(true)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { os.Exit(code) }))
}

// noLeaks fails the test if it ends with more buffers held than it began with.
func noLeaks(t testing.TB) {
	t.Helper()
	before := buf.Live()
	t.Cleanup(func() {
		if after := buf.Live(); after != before {
			t.Errorf("%d buffers are held that were not before", after-before)
		}
	})
}
