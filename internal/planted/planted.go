package planted

// Bug is the name of a planted bug.
type Bug string

// Variable is the environment variable that names the bug which a program with the tag is to have.
const Variable = "QUIVER_PLANTED"

// The bugs: what a server would do wrong.
const (
	AckBeforeSync        Bug = "ack-before-sync"        // a group counts as durable before the disk has it
	AnswerBeforeDurable  Bug = "answer-before-durable"  // a put is answered as soon as it is staged
	PrefixFirst          Bug = "prefix-first"           // the first bytes of a group are written first, not last
	SyncRetried          Bug = "sync-retried"           // a failed sync is tried again, and believed
	UnknownToldRefused   Bug = "unknown-told-refused"   // what may be on the disk is told to be not appended
	TornTailKept         Bug = "torn-tail-kept"         // bodies behind the recovery point are not checked
	UnitHalfShown        Bug = "unit-half-shown"        // a put whose last piece is missing is not cut off
	MergedSequenceLost   Bug = "merged-sequence-lost"   // of the writers of a merged batch only the first is remembered
	WritersForgotten     Bug = "writers-forgotten"      // recovery does not read the writers of the last segment
	ColumnUnchecked      Bug = "column-unchecked"       // bodies are served without their checksums
	EpochUnfenced        Bug = "epoch-unfenced"         // an older epoch of a writer is taken
	RepeatAfterCondition Bug = "repeat-after-condition" // conditions are judged before it is seen that a batch is a repeat
	OverlayNotFolded     Bug = "overlay-not-folded"     // rows that are staged are not seen by the next upsert
	ReplayFromEnd        Bug = "replay-from-end"        // rows are not brought up to their changelog after a restart
	DeleteNotCounted     Bug = "delete-not-counted"     // the number of rows does not fall
	NumbersNotReserved   Bug = "numbers-not-reserved"   // an auto-increment column gives numbers again that a leadership before may have given
	UpdateBeforeStale    Bug = "update-before-stale"    // an update-before is the new row
	RetentionPassesRows  Bug = "retention-passes-rows"  // retention takes changes that the rows still need
	MetadataUnsynced     Bug = "metadata-unsynced"      // decisions are acknowledged before they are durable
	LookupStale          Bug = "lookup-stale"           // rows are not brought up to the changelog while more is staged, and a lookup does not wait for that
	VersionIgnored       Bug = "version-ignored"        // of two versions of a row the one that comes last stays
	CursorEverywhere     Bug = "cursor-everywhere"      // a cursor that is moved in one bucket moves in all of them
	SyncBelieved         Bug = "sync-believed"          // a failed sync counts as a good one
	FullFences           Bug = "full-fences"            // a disk without room is fenced as one that failed
	FirstReplaced        Bug = "first-replaced"         // the second row of a key replaces the first where that is to stay
	FilterSkipsSingle    Bug = "filter-skips-single"    // a read with a filter leaves out batches of one row
)

// Bugs lists all of them.
var Bugs = []Bug{
	AckBeforeSync, AnswerBeforeDurable, PrefixFirst, SyncRetried, UnknownToldRefused, TornTailKept, UnitHalfShown, MergedSequenceLost,
	WritersForgotten, ColumnUnchecked, EpochUnfenced, RepeatAfterCondition, OverlayNotFolded, ReplayFromEnd, DeleteNotCounted,
	NumbersNotReserved, UpdateBeforeStale, RetentionPassesRows, MetadataUnsynced, LookupStale, VersionIgnored, CursorEverywhere,
	SyncBelieved, FullFences, FirstReplaced, FilterSkipsSingle,
}
