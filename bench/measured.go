package main

import "github.com/quiverlog/quiver/bench/measure"

// What the kernel tells is read by package measure, which the runs beside the peers share.
type machine = measure.Machine

var (
	cpuTime         = measure.CPUTime
	readMemory      = measure.ReadMemory
	resetPeak       = measure.ResetPeak
	readLoad        = measure.ReadLoad
	foreign         = measure.Foreign
	describeMachine = measure.DescribeMachine
	commit          = measure.Commit
)
