//go:build !race

package arrowlog

const raceDetector = false
