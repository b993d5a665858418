module pg_ets/examples/integrations/go

go 1.19

require (
	github.com/gowebpki/jcs v1.0.1
	github.com/lib/pq v1.10.9
)
