module github.com/quiverlog/quiver

go 1.26.0

require (
	github.com/apache/arrow-go/v18 v18.8.0
	github.com/cockroachdb/pebble/v2 v2.1.7
	google.golang.org/grpc v1.85.0
)
