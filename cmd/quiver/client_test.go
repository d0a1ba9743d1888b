package main

import (
	"errors"
	"testing"
)

func TestDialAddress(t *testing.T) {
	for server, want := range map[string]string{
		"127.0.0.1:8815": "127.0.0.1:8815", "grpc://127.0.0.1:9/": "127.0.0.1:9", "localhost": "localhost:8815", "[::1]:7": "[::1]:7", "[::1]": "[::1]:8815",
	} {
		if got, err := dialAddress(server); got != want || err != nil {
			t.Errorf("%s: %q, %v", server, got, err)
		}
	}
	for _, server := range []string{"", "http://127.0.0.1:8816", "grpc://"} {
		var usage usageError
		if got, err := dialAddress(server); !errors.As(err, &usage) {
			t.Errorf("%s: %q, %v", server, got, err)
		}
	}
}
