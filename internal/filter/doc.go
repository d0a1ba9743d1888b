// Package filter reads conditions on rows, and finds the rows of a batch for which they are true.
package filter
