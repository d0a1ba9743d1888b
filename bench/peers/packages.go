package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// packages is what was taken from the registries and compiled.
type packages struct {
	python   string // of an environment with pyarrow and pyfluss
	jars     map[string]string
	classes  map[string]string
	versions map[string]string
}

// The sets of jars: a file in maven/ each.
const (
	flussJars       = "fluss"
	flussClientJars = "fluss-client"
	kafkaJars       = "kafka"
)

// getPackages gets what is not there yet. What the files name is in the stamps, so a changed version is fetched anew.
func getPackages(ctx context.Context, source, work string, logf func(string, ...any)) (*packages, error) {
	p := &packages{jars: map[string]string{}, classes: map[string]string{}, versions: map[string]string{}}
	for _, tool := range []string{"java", "javac", "mvn", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("the peers need %s (JDK 17, Maven, Python 3): %w", tool, err)
		}
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	for _, set := range []string{flussJars, flussClientJars, kafkaJars} {
		pom, target := filepath.Join(source, "maven", set+".xml"), filepath.Join(work, "jars", set)
		p.jars[set] = filepath.Join(target, "*")
		if err := p.noteVersions(pom); err != nil {
			return nil, err
		}
		if err := once(ctx, target, []string{pom}, logf, "mvn", "-B", "-q", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory="+target); err != nil {
			return nil, err
		}
	}
	for class, set := range map[string]string{"FlussClient": flussClientJars, "KafkaClient": kafkaJars} {
		sources := []string{filepath.Join(source, "java", "Orders.java"), filepath.Join(source, "java", class+".java")}
		target := filepath.Join(work, "classes", class)
		p.classes[class] = target
		if err := once(ctx, target, sources, logf, "javac", append([]string{"-nowarn", "-d", target, "-cp", p.jars[set]}, sources...)...); err != nil {
			return nil, err
		}
	}
	wanted, venv := filepath.Join(source, "requirements.txt"), filepath.Join(work, "venv")
	p.python = filepath.Join(venv, "bin", "python")
	if err := once(ctx, venv, []string{wanted}, logf, "sh", "-c", `python3 -m venv "$0" && "$0/bin/python" -m pip install --quiet --disable-pip-version-check -r "$1"`, venv, wanted); err != nil {
		return nil, err
	}
	return p, p.noteJava(ctx)
}

// fetchTime bounds the fetching of one set of packages.
const fetchTime = 10 * time.Minute

// once runs a command that makes a directory, unless it was made from the same files before.
func once(ctx context.Context, target string, from []string, logf func(string, ...any), program string, args ...string) error {
	sum := sha256.New()
	for _, path := range from {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum.Write(text)
	}
	stamp, made := target+".stamp", hex.EncodeToString(sum.Sum(nil))
	if text, err := os.ReadFile(stamp); err == nil && string(text) == made {
		return nil
	}
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	logf("making %s", target)
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return os.WriteFile(stamp, []byte(made), 0o644)
}

// noteVersions notes what a file of maven/ names.
func (p *packages) noteVersions(pom string) error {
	text, err := os.ReadFile(pom)
	if err != nil {
		return err
	}
	versions, err := parsePOM(text)
	for name, version := range versions {
		if strings.HasPrefix(name, "fluss") || strings.HasPrefix(name, "kafka") {
			p.versions[name] = version
		}
	}
	return err
}

// parsePOM gives the versions of the artifacts that a file of Maven names.
func parsePOM(text []byte) (map[string]string, error) {
	var project struct {
		Dependencies []struct {
			Artifact string `xml:"artifactId"`
			Version  string `xml:"version"`
		} `xml:"dependencies>dependency"`
	}
	if err := xml.Unmarshal(text, &project); err != nil {
		return nil, fmt.Errorf("not a file of Maven: %w", err)
	}
	versions := map[string]string{}
	for _, d := range project.Dependencies {
		versions[d.Artifact] = d.Version
	}
	return versions, nil
}

// noteJava notes the versions of Java and of the Python packages.
func (p *packages) noteJava(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("java -version: %w: %s", err, out)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	p.versions["java"] = strings.ReplaceAll(strings.TrimSpace(first), `"`, "")
	out, err = exec.CommandContext(ctx, p.python, "-c", "import importlib.metadata as m; print(m.version('pyfluss'), m.version('pyarrow'))").Output()
	if err != nil {
		return fmt.Errorf("the Python environment: %w", err)
	}
	_, err = fmt.Sscan(string(out), new(string), new(string))
	fields := strings.Fields(string(out))
	if err == nil && len(fields) == 2 {
		p.versions["pyfluss"], p.versions["pyarrow"] = fields[0], fields[1]
	}
	return err
}

// java is the command of a Java program.
func (p *packages) java(classpath string, args ...string) *exec.Cmd {
	// The two packages are those that Fluss's Netty and Arrow reach into.
	options := make([]string, 0, 4+len(args))
	options = append(options, "--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", "-cp", classpath)
	return exec.Command("java", append(options, args...)...)
}

// javaClient is the command of one of our Java clients.
func (p *packages) javaClient(class, set, address string) *exec.Cmd {
	return p.java(p.classes[class]+":"+p.jars[set], "-Xmx2g", class, address)
}
