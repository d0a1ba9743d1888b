// Package registertest judges what concurrent callers saw of the rows of a primary-key table. Each key is a register:
// it has a row with a value and a version, or none. A history is linearizable if all its calls have an order that
// explains every answer, in which a call that returned before another one began comes first.
//
//	h := registertest.New()
//	p := h.Begin(registertest.Call{Key: 3, Kind: registertest.Upsert, Value: 17})
//	… p.Done(registertest.Answer{…}), or p.Refused(offset), or p.Lost(), or p.Never()
//	if err := h.Check(); err != nil { … }
//
// The version is the offset of the row's last change, which the caller of a put need not hear of. What is known of it
// is then that it lies above all earlier ones of the key, until an answer tells it.
//
// A call that was lost was carried out, or was not: nobody knows. It may take effect until the server that it went to is
// dead, and never again afterwards: Died says when. So a row that an earlier life of the server did not have, and a later
// one digs up without having been asked again, is found, which an open end would allow.
//
// The search is porcupine's; keys are judged one by one, which keeps it short.
package registertest
