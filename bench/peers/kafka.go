package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"
)

// kafkaServer is one Kafka process, broker and controller in one.
type kafkaServer struct {
	*process
	data    string
	address string
}

// clusterID is the name that the storage is formatted with; any would do.
const clusterID = "cXVpdmVyLWJlc2lkZS1wZQ"

// kafkaJVM is what the start script of Kafka gives its JVM.
var kafkaJVM = []string{"-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true"}

// startKafka formats the storage, starts the server and waits until it answers.
func (p *peers) startKafka(ctx context.Context, dir string) (s *kafkaServer, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	s = &kafkaServer{data: filepath.Join(dir, "data"), address: fmt.Sprintf("127.0.0.1:%d", ports[0])}
	config := filepath.Join(dir, "server.properties")
	if err := writeFile(config, kafkaFile(s.data, ports)); err != nil {
		return nil, err
	}
	settings, err := logSettings(dir, "kafka")
	if err != nil {
		return nil, err
	}
	format, err := p.launcher.start(dir, "kafka-format", p.java(p.jars[kafkaJars], "-Dlog4j2.configurationFile="+settings, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", config))
	if err != nil {
		return nil, err
	}
	select {
	case <-format.ended:
	case <-ctx.Done():
		format.kill()
	}
	if !format.cmd.ProcessState.Success() {
		return nil, fmt.Errorf("the storage of Kafka was not formatted: %s", format.said())
	}
	args := append(append([]string{}, kafkaJVM...), "-Xmx2g", "-Dlog4j2.configurationFile="+settings, "kafka.Kafka", config)
	if s.process, err = p.launcher.start(dir, "kafka", p.java(p.jars[kafkaJars], args...)); err != nil {
		return nil, err
	}
	if err := await(ctx, []*process{s.process}, func() bool { return logged(filepath.Join(dir, "kafka.log"), "Kafka Server started") }); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// kafkaFile is the configuration: defaults, but for addresses, directories and what one node needs.
func kafkaFile(data string, ports []int) string {
	return fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
auto.create.topics.enable=false
`, ports[0], ports[1], data)
}

func (s *kafkaServer) pids() []int { return []int{s.pid()} }

// answers tells whether something listens on a port of this machine.
func answers(port int) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// kafkaSystem is the server with its client.
type kafkaSystem struct {
	*kafkaServer
	java *client
}

// onKafka gives the server, started when it is first wanted.
func (p *peers) onKafka(ctx context.Context) (k *kafkaSystem, err error) {
	if p.kafka != nil {
		return p.kafka, nil
	}
	k = &kafkaSystem{}
	if k.kafkaServer, err = p.startKafka(ctx, filepath.Join(p.dir, "kafka")); err != nil {
		return nil, err
	}
	p.kafka = k
	k.java, err = p.newClient("kafka-java", p.javaClient("KafkaClient", kafkaJars, k.address))
	return k, err
}

func (k *kafkaSystem) close() {
	k.java.close()
	k.stop()
}

// create makes a topic of one partition.
func (k *kafkaSystem) create(ctx context.Context, topic, properties string) error {
	_, err := k.java.do(ctx, order{"do": "create", "table": topic, "properties": properties})
	return err
}

func (k *kafkaSystem) drop(ctx context.Context, topic string) error {
	_, err := k.java.do(ctx, order{"do": "drop", "table": topic})
	return err
}

// disk is what a topic takes on the disk.
func (k *kafkaSystem) disk(topic string) (int64, error) {
	return allocated(filepath.Join(k.data, topic+"-0"))
}
