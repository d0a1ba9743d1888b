//go:build race

package arrowlog

// raceDetector tells that everything takes ten times as long: the random tests then do less.
const raceDetector = true
