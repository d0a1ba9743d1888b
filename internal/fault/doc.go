// Package fault names the places where a process may die or an operation may fail.
//
// Every I/O step has a Point, declared as a package variable of the package that owns the step:
//
//	var pointBeforeSync = fault.New("arrowlog.commit.before-sync")
//	...
//	if err := pointBeforeSync.Hit(); err != nil { return err }
//
// Built without the tag "fault", Hit is an inlined nil. Built with it, a test arms points in process (Arm), and a
// real server through the environment: QUIVER_FAULT="arrowlog.commit.before-sync=kill@3" kills the process
// (SIGKILL to itself) at the third hit; "=error@3" makes that hit fail; several are separated by commas.
// QUIVER_FAULT=list makes the program print every name (cmd/quiver does that) so that a harness can visit them all.
//
// QUIVER_FAULT_CLOCK="0s,-26h,3s" has the program's wall clock step: the offsets take turns.
//
// QUIVER_FAULT_DISK names a file of orders for the disk: package fs has it fail, lose, be slow or full, while it runs.
//
// The program calls Setup before it does anything else. An order that cannot be carried out (an unknown name, a
// binary without the tag) stops it there: a crash test that crashes nothing must not pass.
package fault
