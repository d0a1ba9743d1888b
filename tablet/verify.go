package tablet

import (
	"context"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/kv"
)

// The directories of current rows, and of their checkpoints, below a data directory.
const (
	RowsDir           = rowsDir
	RowCheckpointsDir = checkpointDir
)

// VerifyRows compares the current rows of a primary-key bucket with its log, of which the report says that nothing is
// missing. The error is the context's, or one of reading the log.
func VerifyRows(ctx context.Context, rows *kv.Verifier, logs *arrowlog.Verifier, report *arrowlog.LogReport, meta *quiver.Table) ([]quiver.Finding, error) {
	// What stands above the high watermark may be in the rows all the same: that a start finds is behind what it was.
	log := kv.Log{Start: report.Start, End: report.Unit}
	log.Each = func(visit func(*kv.Changelog) error) error {
		return logs.Scan(ctx, report, report.Start, func(batch *record.Batch) error {
			piece, done, err := changelogOf(batch)
			if err != nil {
				return err
			}
			defer done()
			return visit(piece)
		})
	}
	return rows.Verify(ctx, report.Bucket, rowsConfig(meta), log)
}
