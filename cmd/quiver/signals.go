package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// exitSignal is the exit code of a process that a signal ended, less the signal's number.
const exitSignal = 128

// untilSignal gives a context that ends with the first SIGINT or SIGTERM: the verb then ends as it should, a server
// drains. The second one ends the process at once. None gets lost, however fast it follows.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		again, _ := (<-signals).(syscall.Signal)
		os.Exit(exitSignal + int(again))
	}()
	return ctx
}
