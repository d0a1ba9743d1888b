package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/pflag"

	"github.com/quiverlog/quiver"
)

// logging is how the server's log is written.
type logging struct {
	level  string
	format string
}

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"auto", "text", "json"}
)

// flags adds --log-level and --log-format.
func (l *logging) flags(flags *pflag.FlagSet) {
	flags.StringVar(&l.level, "log-level", "info", "what is logged: debug, info, warn or error, each with those behind it (QUIVER_LOG_LEVEL)")
	flags.StringVar(&l.format, "log-format", "auto", "text, json, or auto: text on a terminal, JSON else (QUIVER_LOG_FORMAT)")
}

// logger makes the logger that the flags ask for.
func (l *logging) logger(w io.Writer) (*slog.Logger, error) {
	var options slog.HandlerOptions
	var level slog.Level
	if err := oneOf("--log-level", l.level, logLevels); err != nil {
		return nil, err
	}
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, err
	}
	options.Level = level
	if err := oneOf("--log-format", l.format, logFormats); err != nil {
		return nil, err
	}
	if l.format == "text" || l.format == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, &options)), nil
	}
	return slog.New(slog.NewJSONHandler(w, &options)), nil
}

// oneOf refuses a value that is none of the known ones, naming the nearest.
func oneOf(flag, value string, known []string) error {
	for _, k := range known {
		if k == value {
			return nil
		}
	}
	if nearest := quiver.Nearest(value, known); nearest != "" {
		return fmt.Errorf("%s %q is unknown; did you mean %q?", flag, value, nearest)
	}
	return fmt.Errorf("%s %q is unknown; it is one of %v", flag, value, known)
}

func isTerminal(w any) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && file.Name() != os.DevNull && terminalWidth(file) >= 0
}
