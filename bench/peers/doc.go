// Command peers runs Quiver beside Apache Fluss and Apache Kafka: the same rows, the same machine, in turns.
//
//	go run ./bench/peers                     everything, five rounds: raw files, tables and plots of docs/peers.md
//	go run ./bench/peers -jobs scan,tail -rounds 9
//	go run ./bench/peers -quick              everything once with tiny sizes: a smoke test
//	go run ./bench/peers -summary            run nothing: write the page from the raw files
//
// The peers come from Maven Central and PyPI through mvn and pip, into .build/peers; the versions stand in maven/ and
// requirements.txt. All servers listen on 127.0.0.1, live through the whole run, and end with it, however it ends.
//
//	peers ── orders, one line each ──┬── python/quiver_client.py ──┐
//	  │                              ├── (Go client, in here)     ─┼── quiver dev
//	  │                              ├── python/fluss_client.py  ──┼── ZooKeeper, coordinator, tablet server
//	  │                              ├── java/FlussClient.java   ──┘
//	  │                              └── java/KafkaClient.java   ───── kafka.Kafka (KRaft)
//	  └── rounds × arms ── samples ── docs/benchmarks/peers/JOB.json ── tables and plots of docs/peers.md
//
// Laws:
//
//  1. The arms of a job take turns (A B C A B C …), after one turn each that does not count.
//  2. Every arm says what it is configured to and what an acknowledgement means on it: synced, or in the page cache.
//  3. CPU time is the kernel's, of all processes of a system; what other programs took is kept with each sample, and
//     samples with more than a little of it are taken again, a bounded number of times, and thrown out of the medians.
//  4. Every client lives through all rounds, so that compilers have compiled and interpreters have started.
//  5. Every loop of requests is bounded in number and time.
//  6. A ratio is a median of ratios within rounds. Where it says that Quiver loses, the page says so.
package main
