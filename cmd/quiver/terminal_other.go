//go:build !unix

package main

import "os"

// terminalWidth is not known here: lines are as long as they are.
func terminalWidth(*os.File) int { return 0 }
