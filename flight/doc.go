// Package flight holds the words of the wire contract.
package flight
