// Package intake bounds what gRPC holds of messages that nobody has taken yet.
//
// gRPC puts a message together in memory before a handler sees it, however large it is, on as many streams as there
// are: neither its limits nor the windows of HTTP/2 bound the sum, and a handler is asked for nothing before a message
// is whole. So the bytes are counted where they come in. A Listener wraps connections; a connection follows the frames
// that pass through it and charges each DATA frame to its stream before gRPC gets it:
//
//	socket -> Conn.Read ----------------------> gRPC's frames -> RecvMsg -> handler
//	            |  frame header, stream id            |              |
//	            |  charge(stream, payload)            | Tap          | Took, End
//	            +--------------> Intake: used <= limit <-------------+
//
// Laws:
//
//   - what all streams hold stays below the limit; a small stream may go an eighth beyond it, so that who sends little
//     does not wait for who sends much. An answer that is larger than all goes when nothing else is held. Rows that were
//     read and are more than was thought count all the same: others wait for them;
//   - who does not fit stands in line, those with large messages behind each other and the small ones likewise, and
//     only its own connection is not read on meanwhile. What was given back goes to who is in front (account.go);
//   - while somebody waits, the slowest unfinished message is given up: its stream ends with OVERLOADED. Memory that
//     somebody keeps for nothing is got back that way: after 0.2 s of silence, or when it comes slower than 1 MiB/s and
//     somebody has waited for a second;
//   - messages that wait for each other's memory do not wait for ever: when nothing moves, one of them is given up;
//   - without anybody waiting, a message that takes a minute and comes slower than 16 KiB/s ends as well;
//   - streams and connections have limits over all of them: at the limit the connection with most streams gives one up
//     for one that has fewer, and a connection without streams one for a new connection. Streams that were given up and
//     have not left are in the way of who has many, not of who has few;
//   - frames that carry nothing (calls begun and reset, settings, messages byte by byte) are few on each connection, and
//     beyond that share one rate over all: who sends more is not read on for a while;
//   - nobody works for long while others wait for a processor: a connection lets others run after some frames, and two
//     calls that begin; the mutex is never handed over to who waits for it (see lock).
//
// Ordinary traffic takes no lock for most frames. A large message pays for all of itself when its length is known; a
// smaller one pays ahead for as much as has come, so that who announces much and sends little charges little. What was
// paid ahead belongs to the goroutine that reads the connection. Nothing is allocated for a frame or a message that does
// not wait.
//
// A frame costs more than its payload, so that a message in frames of one byte pays for what gRPC keeps of each. The
// same streams are charged for answers that were sent and not taken by their reader (Hold), with a limit of their own;
// rows that are to be read for an answer have their memory before they are (Reserve).
//
// The connection is read without a buffer of gRPC's; this one has its own, which an idle connection gives back. Large
// ones are for some connections at a time, whose reads fill them.
package intake
