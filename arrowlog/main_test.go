package arrowlog

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/quiverlog/quiver/internal/buf"
)

func TestMain(m *testing.M) {
	buf.SetPoison(true)
	goleak.VerifyTestMain(m)
}
