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
//     does not wait for who sends much;
//   - who does not fit waits, and only its own connection is not read on meanwhile;
//   - while somebody waits, the slowest unfinished message is given up: its stream ends with OVERLOADED. Memory that
//     somebody keeps for nothing is got back that way: after 0.2 s of silence, or when it comes slower than 1 MiB/s and
//     somebody has waited for a second;
//   - messages that wait for each other's memory do not wait for ever: when nothing moves, one of them is given up;
//   - without anybody waiting, a message that takes a minute and comes slower than 16 KiB/s ends as well;
//   - streams and connections have limits over all of them: at the limit the connection with most streams gives one up
//     for one that has fewer, and a connection without streams one for a new connection.
//
// Ordinary traffic takes no lock for most frames. A large message pays for all of itself when its length is known; a
// smaller one pays ahead for as much as has come, so that who announces much and sends little charges little. What was
// paid ahead belongs to the goroutine that reads the connection. Nothing is allocated for a frame or a message.
//
// A frame costs more than its payload, so that a message in frames of one byte pays for what gRPC keeps of each. The
// same streams are charged for answers that were sent and not taken by their reader (Hold), with a limit of their own.
//
// The connection is read without a buffer of gRPC's; this one has its own, which an idle connection gives back.
package intake
