// Package server is the Flight service: it turns calls into words (package flight), words into tables, and rows into
// stored batches and back. It touches no offset, hash or schema rule itself.
//
//	DoPut   put.go          the stream's stages: receive -> stage -> settle -> answer
//	        put_receive.go  gate, defaults and casts
//	        put_route.go    dividing among partitions and buckets
//	        put_keyed.go    puts into primary-key tables: which columns, what each row does
//	        put_stage.go    splitting, staging
//	        put_queue.go    what is staged and not yet settled, in order
//	        put_answer.go   cumulative answers, flushes, what an error tells
//	DoGet   get.go          ticket -> scan -> bytes as stored
//	        get_table.go    current rows of a primary-key table, and the changes from there on
//	lookups lookup.go       keys -> buckets -> rows; lookup_keys.go, lookup_route.go, lookup_stream.go
//	        exchange.go     DoExchange: batches of keys in, rows out
//	        answer_shape.go how current rows become batches
//	plans   info.go         GetFlightInfo, GetSchema, ListFlights, PollFlightInfo
//	actions action.go       the table of actions; act_*.go one file per family
//	memory  decoding.go     what compressed bodies, dictionaries and runs become on their way in
//	        ../internal/intake  what gRPC holds: messages that come in, rows that readers do not take; guard.go tells it
//	errors  guard.go        every error leaves as a status of flight/status.go; a panic ends one call, not the server
//
// # Goroutines of a put
//
//	receiver (own)   RecvMsg -> gate -> queue.push(tablet.Put each) ends with the stream
//	settler (own)    queue.next -> tablet.Wait -> answers          ends when the queue is closed and empty
//	handler          answers -> SendMsg                            ends the call
//
// A client that never reads its answers blocks the handler in SendMsg and nothing else: answers are merged while
// they wait. A stream that failed is read on and thrown away until the handler can end it, so that a client that
// only writes is not stalled either.
package server
