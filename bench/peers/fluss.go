package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// flussServer is a ZooKeeper, a coordinator and one tablet server of Fluss, each a process.
type flussServer struct {
	processes []*process
	data      string // of the tablet server
	address   string // of the coordinator
}

// The programs in the server's jar.
const (
	zooKeeperMain   = "org.apache.fluss.shaded.zookeeper3.org.apache.zookeeper.server.quorum.QuorumPeerMain"
	coordinatorMain = "org.apache.fluss.server.coordinator.CoordinatorServer"
	tabletMain      = "org.apache.fluss.server.tablet.TabletServer"
)

// registered is what the coordinator's log says once the tablet server can be used.
const registered = "New tablet server callback for tablet server"

// startFluss starts the three and waits until the tablet server is known to the coordinator.
func (p *peers) startFluss(ctx context.Context, dir string) (s *flussServer, err error) {
	s = &flussServer{data: filepath.Join(dir, "data")}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	ports, err := freePorts(3)
	if err != nil {
		return s, err
	}
	s.address = fmt.Sprintf("127.0.0.1:%d", ports[1])
	files := flussFiles(dir, ports)
	for path, text := range files {
		if err := writeFile(filepath.Join(dir, path), text); err != nil {
			return s, err
		}
	}
	if err := s.launch(p, dir, "zookeeper", "256m", zooKeeperMain, filepath.Join(dir, "zookeeper.cfg")); err != nil {
		return s, err
	}
	if err := s.await(ctx, func() bool { return answers(ports[0]) }); err != nil {
		return s, err
	}
	if err := s.launch(p, dir, "coordinator", "512m", coordinatorMain, "--configDir", filepath.Join(dir, "coordinator")); err != nil {
		return s, err
	}
	if err := s.await(ctx, func() bool { return answers(ports[1]) }); err != nil {
		return s, err
	}
	if err := s.launch(p, dir, "tablet", "3g", tabletMain, "--configDir", filepath.Join(dir, "tablet")); err != nil {
		return s, err
	}
	return s, s.await(ctx, func() bool { return logged(filepath.Join(dir, "coordinator.log"), registered) })
}

// flussFiles are the files of configuration: defaults, but for addresses and directories.
func flussFiles(dir string, ports []int) map[string]string {
	common := fmt.Sprintf("zookeeper.address: 127.0.0.1:%d\nzookeeper.path.root: /fluss\nremote.data.dir: %s\n", ports[0], filepath.Join(dir, "remote"))
	return map[string]string{
		"zookeeper.cfg": fmt.Sprintf("tickTime=2000\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
			filepath.Join(dir, "zookeeper-data"), ports[0]),
		"coordinator/server.yaml": fmt.Sprintf("%sbind.listeners: FLUSS://127.0.0.1:%d\n", common, ports[1]),
		"tablet/server.yaml": fmt.Sprintf("%sbind.listeners: FLUSS://127.0.0.1:%d\ntablet-server.id: 0\ndata.dir: %s\n",
			common, ports[2], filepath.Join(dir, "data")),
	}
}

// launch starts one of the three.
func (s *flussServer) launch(p *peers, dir, name, heap, class string, args ...string) error {
	settings, err := logSettings(dir, name)
	if err != nil {
		return err
	}
	options := append([]string{"-Xmx" + heap, "-Dlog4j2.configurationFile=" + settings, class}, args...)
	started, err := p.launcher.start(dir, name, p.java(p.jars[flussJars], options...))
	if err == nil {
		s.processes = append(s.processes, started)
	}
	return err
}

// await polls until something is so, or a process of the server has ended.
func (s *flussServer) await(ctx context.Context, isSo func() bool) error {
	return await(ctx, s.processes, isSo)
}

func (s *flussServer) pids() []int { return pidsOf(s.processes) }

// stop ends the three, the last one first.
func (s *flussServer) stop() {
	for i := len(s.processes) - 1; i >= 0; i-- {
		s.processes[i].stop()
	}
}

// flussSystem is the server with its clients.
type flussSystem struct {
	*flussServer
	java   *client
	python *client
}

// onFluss gives the server, started when it is first wanted.
func (p *peers) onFluss(ctx context.Context) (f *flussSystem, err error) {
	if p.fluss != nil {
		return p.fluss, nil
	}
	f = &flussSystem{}
	if f.flussServer, err = p.startFluss(ctx, filepath.Join(p.dir, "fluss")); err != nil {
		return nil, err
	}
	p.fluss = f
	if f.java, err = p.newClient("fluss-java", p.javaClient("FlussClient", flussClientJars, f.address)); err != nil {
		return nil, err
	}
	f.python, err = p.newClient("fluss-python", exec.Command(p.python, "-u", filepath.Join(p.source, "python", "fluss_client.py"), f.address))
	return f, err
}

func (f *flussSystem) close() {
	f.python.close()
	f.java.close()
	f.stop()
}

// create makes a table of one bucket.
func (f *flussSystem) create(ctx context.Context, table string, columns []column, key, properties string) error {
	_, err := f.java.do(ctx, order{"do": "create", "table": table, "columns": columnWords(columns), "key": key, "properties": properties})
	return err
}

func (f *flussSystem) drop(ctx context.Context, table string) error {
	_, err := f.java.do(ctx, order{"do": "drop", "table": table})
	return err
}

// disk is what a table's log takes on the disk.
func (f *flussSystem) disk(table string) (total int64, err error) {
	dirs, err := filepath.Glob(filepath.Join(f.data, "fluss", table+"-*"))
	if err != nil || len(dirs) == 0 {
		return 0, fmt.Errorf("no directory of table %s below %s: %w", table, f.data, errors.Join(err, os.ErrNotExist))
	}
	for _, dir := range dirs {
		n, err := allocated(dir)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// freePorts finds as many ports that nothing listens on.
func freePorts(n int) (ports []int, err error) {
	for len(ports) < n {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// writeFile writes a file with the directories above it.
func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// logSettings writes a configuration of log4j that logs into a file named like the process.
func logSettings(dir, name string) (path string, err error) {
	path = filepath.Join(dir, name+".log4j2.properties")
	return path, writeFile(path, strings.Join([]string{
		"appender.file.type=File", "appender.file.name=file", "appender.file.fileName=" + filepath.Join(dir, name+".log"),
		"appender.file.layout.type=PatternLayout", "appender.file.layout.pattern=%d %p %c - %m%n",
		"rootLogger.level=INFO", "rootLogger.appenderRef.file.ref=file", "",
	}, "\n"))
}

// logged tells whether a file holds a text.
func logged(path, text string) bool {
	data, err := os.ReadFile(path)
	return err == nil && bytes.Contains(data, []byte(text))
}

// await polls until something is so, or a process has ended.
func await(ctx context.Context, processes []*process, isSo func() bool) error {
	for !isSo() {
		for _, p := range processes {
			select {
			case <-p.ended:
				return fmt.Errorf("%s ended while it started: %s", p.name, p.said())
			default:
			}
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("a server did not get ready: %w", err)
		}
	}
	return nil
}

func pidsOf(processes []*process) []int {
	pids := make([]int, 0, len(processes))
	for _, p := range processes {
		pids = append(pids, p.pid())
	}
	return pids
}
