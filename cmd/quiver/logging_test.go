package main

import (
	"bytes"
	"runtime/debug"
	"strings"
	"testing"
)

func TestLogging(t *testing.T) {
	for _, c := range []struct {
		logging
		want string // what is written; "" means the flags are refused
		say  string
	}{
		{logging{"info", "text"}, "level=INFO msg=hello n=1\n", ""},
		{logging{"info", "auto"}, `"msg":"hello","n":1}`, ""}, // no terminal
		{logging{"warn", "json"}, "", ""},
		{logging{"debug", "json"}, `"level":"INFO"`, ""},
		{logging{"wran", "json"}, "", `--log-level "wran" is unknown; did you mean "warn"?`},
		{logging{"info", "xml"}, "", `--log-format "xml" is unknown`},
	} {
		var out bytes.Buffer
		logger, err := c.logger(&out)
		if c.say != "" {
			if err == nil || !strings.Contains(err.Error(), c.say) {
				t.Errorf("%v: %v", c.logging, err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		logger.Info("hello", "n", 1)
		if text := out.String(); c.want == "" && text != "" || !strings.Contains(text, c.want) {
			t.Errorf("%v writes %q", c.logging, text)
		}
	}
}

func TestCommit(t *testing.T) {
	for want, settings := range map[string][]debug.BuildSetting{
		"unknown": nil,
		"abc":     {{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}},
		"abc+":    {{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: "abc"}},
	} {
		if got := commitOf(settings); got != want {
			t.Errorf("%v: %s, want %s", settings, got, want)
		}
	}
}
