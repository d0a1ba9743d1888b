package fs

// Op names an operation for WithErrors and Record.
type Op int8

// The operations, with the name they are reported under: the path as the caller gave it.
const (
	OpCreate    Op = iota // a new file; OpenReadWrite too if it had to create one
	OpOpen                // Open, OpenReadWrite, OpenDir
	OpLink                // the new name
	OpRename              // the new name; ReuseForWrite too
	OpRemove              // Remove
	OpRemoveAll           //
	OpMkdir               // MkdirAll
	OpTruncate            //
	OpLock                //
	OpList                //
	OpStat                // of a name or of an open file
	OpUsage               // GetDiskUsage
	OpRead                // Read, ReadAt
	OpWrite               // Write, WriteAt, WriteVector
	OpAllocate            // Allocate, Preallocate
	OpSync                // Sync, SyncData, SyncTo of a file
	OpSyncDir             // Sync of a directory
	OpClose               //
)

var opNames = [...]string{
	OpCreate:    "create",
	OpOpen:      "open",
	OpLink:      "link",
	OpRename:    "rename",
	OpRemove:    "remove",
	OpRemoveAll: "remove-all",
	OpMkdir:     "mkdir",
	OpTruncate:  "truncate",
	OpLock:      "lock",
	OpList:      "list",
	OpStat:      "stat",
	OpUsage:     "usage",
	OpRead:      "read",
	OpWrite:     "write",
	OpAllocate:  "allocate",
	OpSync:      "sync",
	OpSyncDir:   "sync-dir",
	OpClose:     "close",
}

// String returns the operation's name.
func (op Op) String() string { return opNames[op] }

// Changes tells whether a crash after the operation may find something else than a crash before it.
func (op Op) Changes() bool {
	switch op {
	case OpCreate, OpLink, OpRename, OpRemove, OpRemoveAll, OpMkdir, OpTruncate, OpLock, OpWrite, OpAllocate, OpSync, OpSyncDir:
		return true
	default:
		return false
	}
}
