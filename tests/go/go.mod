// Other people's transparency-log clients, run against a ledger by tests/tlog.rs.
module pg_ets/tests/go

// The versions are the newest that build with Debian 12's Go.
go 1.19

require (
	github.com/lib/pq v1.10.9
	github.com/transparency-dev/merkle v0.0.2
	golang.org/x/mod v0.17.0
)
