package quiver

import (
	"slices"
	"strings"
)

// Class groups reasons by what a transport and a caller make of them. flight/status.go maps classes to gRPC codes.
type Class int8

// The classes. Each has one gRPC code, and every reason one class.
const (
	ClassInvalid         Class = iota // the request is wrong in itself; gRPC InvalidArgument
	ClassNotFound                     // what it names does not exist; NotFound
	ClassExists                       // what it would make exists; AlreadyExists
	ClassOutOfRange                   // an offset that is not, or no longer, there; OutOfRange
	ClassPrecondition                 // right, but not in this state; FailedPrecondition
	ClassExhausted                    // something is used up; ResourceExhausted
	ClassUnavailable                  // the same again may work, the only such class; Unavailable
	ClassUnauthenticated              // who is asking is not known; Unauthenticated
	ClassDenied                       // who is asking may not; PermissionDenied
	ClassDataLoss                     // stored bytes are damaged; DataLoss
	ClassInternal                     // a bug; Internal
)

// Retriable says whether the same request, unchanged, may work later. Callers decide by nothing else.
func (c Class) Retriable() bool { return c == ClassUnavailable }

// The reasons, by class. The table Reasons gives each its meaning.
const (
	SchemaMismatch Reason = "SCHEMA_MISMATCH"
	MalformedBatch Reason = "MALFORMED_BATCH"
	BatchTooLarge  Reason = "BATCH_TOO_LARGE"
	BadCommand     Reason = "BAD_COMMAND"
	BadName        Reason = "BAD_NAME"
	BadFilter      Reason = "BAD_FILTER"
	BadOption      Reason = "BAD_OPTION"

	TableNotFound     Reason = "TABLE_NOT_FOUND"
	DatabaseNotFound  Reason = "DATABASE_NOT_FOUND"
	PartitionNotFound Reason = "PARTITION_NOT_FOUND"
	BucketNotFound    Reason = "BUCKET_NOT_FOUND"
	CursorNotFound    Reason = "CURSOR_NOT_FOUND"
	TableExists       Reason = "TABLE_EXISTS"
	DatabaseExists    Reason = "DATABASE_EXISTS"

	OffsetOutOfRange Reason = "OFFSET_OUT_OF_RANGE"
	OffsetTruncated  Reason = "OFFSET_TRUNCATED"

	OutOfOrderSequence     Reason = "OUT_OF_ORDER_SEQUENCE"
	SequenceReused         Reason = "SEQUENCE_REUSED"
	FencedWriter           Reason = "FENCED_WRITER"
	UnknownWriter          Reason = "UNKNOWN_WRITER"
	ExpectedOffsetMismatch Reason = "EXPECTED_OFFSET_MISMATCH"
	ConditionFailed        Reason = "CONDITION_FAILED"
	TableRecreated         Reason = "TABLE_RECREATED"
	SchemaChanged          Reason = "SCHEMA_CHANGED"
	DeleteDisabled         Reason = "DELETE_DISABLED"

	DiskFull      Reason = "DISK_FULL"
	QuotaExceeded Reason = "QUOTA_EXCEEDED"

	LeaderNotAvailable       Reason = "LEADER_NOT_AVAILABLE"
	NotEnoughReplicas        Reason = "NOT_ENOUGH_REPLICAS"
	Overloaded               Reason = "OVERLOADED"
	RemoteStorageUnavailable Reason = "REMOTE_STORAGE_UNAVAILABLE"
	ServerDraining           Reason = "SERVER_DRAINING"
	Unreachable              Reason = "UNREACHABLE" // made by clients

	Unauthenticated  Reason = "UNAUTHENTICATED"
	PermissionDenied Reason = "PERMISSION_DENIED"
	CorruptRange     Reason = "CORRUPT_RANGE"
	Internal         Reason = "INTERNAL"
)

// ReasonInfo is what a Reason means.
type ReasonInfo struct {
	Class   Class
	Outcome Outcome // what became of the request, unless the error itself says otherwise
	Meaning string  // one sentence for the reference of errors
}

// Retriable says whether the same request, unchanged, may work later.
func (i ReasonInfo) Retriable() bool { return i.Class.Retriable() }

// Reasons is the table of all reasons. The documentation of errors is made from it and tests enumerate it.
var Reasons = map[Reason]ReasonInfo{
	SchemaMismatch: {ClassInvalid, NotDone, "the columns put, or a value among them, do not fit the table's; the text names each"},
	MalformedBatch: {ClassInvalid, NotDone, "the bytes are not a well-formed Arrow message of the stream's schema"},
	BatchTooLarge:  {ClassInvalid, NotDone, "one message is larger than the server takes; the text names the limit"},
	BadCommand:     {ClassInvalid, NotDone, "a command, ticket or action body cannot be understood, or asks for what cannot be"},
	BadName:        {ClassInvalid, NotDone, "a name breaks the rules for names"},
	BadFilter:      {ClassInvalid, NotDone, "a filter cannot be parsed, or does not fit the columns"},
	BadOption:      {ClassInvalid, NotDone, "a table option is unknown, malformed or not supported; the text names each"},

	TableNotFound:     {ClassNotFound, NotDone, "there is no such table"},
	DatabaseNotFound:  {ClassNotFound, NotDone, "there is no such database"},
	PartitionNotFound: {ClassNotFound, NotDone, "the table has no such partition"},
	BucketNotFound:    {ClassNotFound, NotDone, "the table has no such bucket"},
	CursorNotFound:    {ClassNotFound, NotDone, "nothing was committed under this cursor"},
	TableExists:       {ClassExists, NotDone, "a table of this name exists"},
	DatabaseExists:    {ClassExists, NotDone, "a database of this name exists"},

	OffsetOutOfRange: {ClassOutOfRange, NotDone, "the offset lies below the earliest or above the latest; both are in text and metadata"},
	OffsetTruncated:  {ClassOutOfRange, NotDone, "rows that may have been read were lost by an unclean election"},

	OutOfOrderSequence:     {ClassPrecondition, NotDone, "a batch of the writer before this one is missing"},
	SequenceReused:         {ClassPrecondition, NotDone, "the writer used this sequence for a batch with another number of rows"},
	FencedWriter:           {ClassPrecondition, NotDone, "a newer writer.init of the same writer took over"},
	UnknownWriter:          {ClassPrecondition, NotDone, "the writer id was never issued, or was silent for longer than writer.expiry"},
	ExpectedOffsetMismatch: {ClassPrecondition, NotDone, "the end of the log is not where expect_offset has it"},
	ConditionFailed:        {ClassPrecondition, NotDone, "the condition of a conditional write does not hold"},
	TableRecreated:         {ClassPrecondition, NotDone, "the table was dropped and another one has its name"},
	SchemaChanged:          {ClassPrecondition, NotDone, "a column changed its type; the read goes on from the offset named, with the new schema"},
	DeleteDisabled:         {ClassPrecondition, NotDone, "the table does not take deletes"},

	DiskFull:      {ClassExhausted, NotDone, "the disk has no room for more; nothing was lost"},
	QuotaExceeded: {ClassExhausted, NotDone, "a quota is used up"},

	LeaderNotAvailable:       {ClassUnavailable, NotDone, "the bucket has no leader at the moment"},
	NotEnoughReplicas:        {ClassUnavailable, NotDone, "fewer replicas are in sync than min-isr asks for"},
	Overloaded:               {ClassUnavailable, NotDone, "the server has too much to do; retry_after_ms tells when to come back"},
	RemoteStorageUnavailable: {ClassUnavailable, NotDone, "remote storage does not answer"},
	ServerDraining:           {ClassUnavailable, NotDone, "the server is shutting down"},
	Unreachable:              {ClassUnavailable, Unknown, "the server does not answer, or the connection to it broke; the Go client says so, a server never does"},

	Unauthenticated:  {ClassUnauthenticated, NotDone, "user or password, or token, is wrong or missing"},
	PermissionDenied: {ClassDenied, NotDone, "the caller may not do this, or may not know whether it exists"},
	CorruptRange:     {ClassDataLoss, NotDone, "stored rows are damaged; the text and the metadata name the range"},
	Internal:         {ClassInternal, Unknown, "a bug in the server; please report it with the text"},
}

// AllReasons lists every reason, by class and then by name.
func AllReasons() []Reason {
	all := make([]Reason, 0, len(Reasons))
	for r := range Reasons {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Reason) int {
		if byClass := int(Reasons[a].Class) - int(Reasons[b].Class); byClass != 0 {
			return byClass
		}
		return strings.Compare(string(a), string(b))
	})
	return all
}
