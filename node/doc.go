// Package node assembles one Quiver process: metadata, coordinator, tablets, the Flight service and the HTTP port.
//
// The program, the benchmarks and the tests open the same Node.
//
//	       Flight :8815                     HTTP :8816
//	            |                               |
//	    flight/server -----------------+   /livez /readyz /metrics /version /debug/pprof
//	       |        |                  |
//	tablet.Server   coordinator  <-- Elect
//	       |   ^        |
//	       |   +--Reconcile(Desired)
//	   arrowlog.Disk    metastore (embedded)
//	       |            |
//	  DATA/log/…        DATA/meta/
//
// Open binds the ports and recovers the metadata; Run serves until its context ends and then drains; Close mirrors
// Open. What the parts count is registered in one registry of the node's own, which /metrics tells (metrics.go); the
// manual's tables of metrics, log lines, errors and actions are made from the program (docs_test.go). A directory belongs to one process at a time (DATA/LOCK).
package node
