package flight

import (
	"context"
	"reflect"

	"github.com/quiverlog/quiver"
)

// Upserter upserts and deletes rows of a primary-key table, given as values of one struct type, in the order of the
// calls. Its columns are the struct's fields, as with Rows; each row tells beside them what it does:
//
//	appender, err := client.Append(ctx, "shop.customers", flight.AppendOptions{})
//	if err != nil { … }
//	customers, err := flight.UpserterOf[Customer](ctx, appender)
//	if err != nil { … }
//	err = customers.Upsert(ctx, Customer{ID: 17, City: "Oslo"})
//	err = customers.Delete(ctx, Customer{ID: 18})
//	totals, err := appender.Close(ctx)
//
// A field `arrow:"__expected_offset"` of type *int64 makes a row conditional: nil is no condition, -1 means that the
// key must be absent, else it is the offset of the row's last change, as a lookup of __offset gives it. If a condition
// fails, the appender ends with CONDITION_FAILED. It is as safe for concurrent use as its appender.
type Upserter[T any] struct {
	set *rowSet
	row *T // where the set takes rows from
}

// UpserterOf makes what upserts and deletes values of a struct type with an appender. The plan how is made here, once.
// With AppendOptions.Columns an upsert changes these columns only, and a delete sets them to null.
func UpserterOf[T any](ctx context.Context, a *Appender) (*Upserter[T], error) {
	if a.options.Op == OpDelete {
		return nil, quiver.Errorf(quiver.BadCommand, "an upserter needs an appender whose Op is not %q", OpDelete).
			Advise("leave Op out, and use Delete")
	}
	set, err := a.rowSetOf(ctx, rowKind{typ: reflect.TypeFor[T](), changes: true})
	if err != nil {
		return nil, err
	}
	return &Upserter[T]{set: set, row: set.slot.Addr().Interface().(*T)}, nil
}

// Upsert puts a row in the place of the one with its key, if there is one. It returns as Rows.Append does.
func (u *Upserter[T]) Upsert(ctx context.Context, row T) error {
	return u.take(ctx, row, quiver.UpdateAfter)
}

// Delete deletes the row with the key of the one given, if there is one. It returns as Rows.Append does.
func (u *Upserter[T]) Delete(ctx context.Context, row T) error {
	return u.take(ctx, row, quiver.Delete)
}

func (u *Upserter[T]) take(ctx context.Context, row T, change quiver.ChangeType) error {
	a := u.set.appender
	if err := a.lockWithRoom(ctx); err != nil {
		return err
	}
	defer a.mu.Unlock()
	*u.row, u.set.change = row, change
	return u.set.takeLocked()
}
