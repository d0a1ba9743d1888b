package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// setting is a flag that the environment and the configuration file can give too. Its key in the file is its name, its
// variable QUIVER_ and the name in capitals.
//
// Precedence: flag, environment, file, default.
type setting struct {
	name    string
	example string // its value in the documented example of a file, in YAML
	about   string
}

// settings are all there are: first those of servers, then those of the verbs that talk to one.
var settings = []setting{
	{"role", "all", "what the process does: all; coordinator and tablet come with clusters"},
	{"data", "./quiver-data", "directory of the data"},
	{"memory", "false", "keep everything in memory instead of data"},
	{"flight-addr", "127.0.0.1:8815", "address of the Flight port"},
	{"http-addr", "127.0.0.1:8816", "address of the HTTP port"},
	{"create-tables", "false", "a table may be created by the first batch put into it (quiver dev: true)"},
	{"max-message", "268435456", "largest message taken, in bytes"},
	{"put-memory", "536870912", "memory for messages on their way in, in bytes"},
	{"receive-memory", "0", "memory for messages that come in and are not taken yet, in bytes; 0: two of the largest and 64 MiB"},
	{"send-memory", "536870912", "memory for rows that readers have not taken yet, in bytes"},
	{"row-memory", "402653184", "memory for the store of primary-key tables, in bytes"},
	{"max-calls", "16384", "calls that may run at one time"},
	{"max-connections", "10000", "connections to the Flight port that may be open at one time"},
	{"disk-reserve", "0", "free bytes below which puts are refused; 0: 2 % of the disk, at most 2 GiB"},
	{"drain-time", "10s", "how long calls may take to end after SIGTERM"},
	{"log-level", "info", "debug, info, warn or error"},
	{"log-format", "auto", "text, json, or auto: text on a terminal"},
	{"server", "127.0.0.1:8815", "the server that client verbs talk to"},
	{"token", `""`, "what they authenticate with"},
	{"tls-ca", `""`, "file with the certificates that the server's one is checked by; it turns TLS on"},
	{"timeout", "30s", "how long a server may take to answer"},
	{"output", "table", "table, json, ndjson, csv, arrow or parquet"},
	{"no-color", "false", "write no colours"},
}

func settingNames() []string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	return names
}

// exampleConfig is the documented example of a configuration file: every key with its default, commented out.
func exampleConfig() string {
	var b strings.Builder
	b.WriteString("# Quiver's configuration. Looked for as --config FILE, ./quiver.yaml, $XDG_CONFIG_HOME/quiver/quiver.yaml and\n" +
		"# /etc/quiver/quiver.yaml; the first that is there is read. A flag goes before a QUIVER_* variable, that before this file.\n" +
		"# Unknown keys are refused. Every key is shown with its default.\n")
	for _, s := range settings {
		fmt.Fprintf(&b, "\n# %s (--%s, %s)\n#%s: %s\n", s.about, s.name, variableOf(s.name), s.name, s.example)
	}
	return b.String()
}

func variableOf(name string) string {
	return "QUIVER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// configFlag adds --config.
func configFlag(flags *pflag.FlagSet) {
	flags.String("config", "", "configuration file (QUIVER_CONFIG); by default ./quiver.yaml, then those of the user and the system")
}

// configure gives every setting that no flag gave its value from the environment, else from the file.
//
// data and memory exclude each other: whichever the stronger source names counts.
func configure(cmd *cobra.Command) error {
	flags := cmd.Flags()
	if memory, _ := flags.GetBool("memory"); memory && flags.Changed("data") {
		return usageError{errors.New("--data and --memory exclude each other: one keeps its data, the other none")}
	}
	file, values, err := readConfig(flags)
	if err != nil {
		return err
	}
	environment := func(name string) (value, from string, ok bool) {
		value, ok = os.LookupEnv(variableOf(name))
		return value, fmt.Sprintf("%s=%q", variableOf(name), value), ok
	}
	if err := fill(flags, "QUIVER_DATA and QUIVER_MEMORY exclude", environment); err != nil {
		return err
	}
	return fill(flags, file+": data and memory exclude", func(name string) (value, from string, ok bool) {
		value, ok = values[name]
		return value, fmt.Sprintf("%s: %s: %s", file, name, value), ok
	})
}

// fill sets the flags that are not set yet from one source.
func fill(flags *pflag.FlagSet, exclude string, source func(name string) (value, from string, ok bool)) error {
	data, memory := flags.Changed("data"), flags.Changed("memory")
	for _, name := range settingNames() {
		flag := flags.Lookup(name)
		if flag == nil || flag.Changed || name == "memory" && data || name == "data" && memory {
			continue
		}
		value, from, ok := source(name)
		if !ok {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return usageError{fmt.Errorf("%s: %w", from, err)}
		}
	}
	if on, _ := flags.GetBool("memory"); on && flags.Changed("data") && (!data || !memory) {
		return usageError{errors.New(exclude + " each other: one keeps its data, the other none")}
	}
	return nil
}

// configFiles are the places where a file is looked for, in order.
func configFiles() []string {
	files := []string{"quiver.yaml"}
	if home := os.Getenv("XDG_CONFIG_HOME"); home != "" {
		files = append(files, filepath.Join(home, "quiver", "quiver.yaml"))
	} else if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".config", "quiver", "quiver.yaml"))
	}
	return append(files, "/etc/quiver/quiver.yaml")
}

// readConfig reads the first file there is; the one that was named has to be there.
func readConfig(flags *pflag.FlagSet) (file string, values map[string]string, err error) {
	file, _ = flags.GetString("config")
	if file == "" {
		file = os.Getenv("QUIVER_CONFIG")
	}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return file, nil, fmt.Errorf("the configuration file cannot be read: %w", err)
		}
		values, err = parseConfig(file, text)
		return file, values, err
	}
	for _, file := range configFiles() {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return file, nil, fmt.Errorf("the configuration file cannot be read: %w", err)
		}
		values, err = parseConfig(file, text)
		return file, values, err
	}
	return "", nil, nil
}

// parseConfig reads "key: value" lines. Whatever is no known key, or there twice, is named with its line.
func parseConfig(file string, text []byte) (map[string]string, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, usageError{fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	values := make(map[string]string)
	if len(document.Content) == 0 {
		return values, nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, usageError{fmt.Errorf("%s, line %d: \"key: value\" is expected", file, root.Line)}
	}
	var faults []string
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		_, twice := values[key.Value]
		switch {
		case !slices.Contains(settingNames(), key.Value):
			faults = append(faults, fmt.Sprintf("line %d: unknown key %q%s", key.Line, key.Value, didYouMean(key.Value, settingNames())))
		case twice:
			faults = append(faults, fmt.Sprintf("line %d: %q is there twice", key.Line, key.Value))
		case value.Kind != yaml.ScalarNode:
			faults = append(faults, fmt.Sprintf("line %d: %q takes one value", key.Line, key.Value))
		default:
			values[key.Value] = value.Value
		}
	}
	if len(faults) > 0 {
		return nil, usageError{errors.New(file + ", " + strings.Join(faults, ", "))}
	}
	return values, nil
}
