// Package quiver holds the nouns that all of Quiver shares.
package quiver
