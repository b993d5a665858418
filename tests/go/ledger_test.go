// Package clients_test reads a ledger as other people's transparency-log clients
// do: golang.org/x/mod/sumdb (notes, tiles, proofs) and
// github.com/transparency-dev/merkle (proofs). Nothing in it is shared with
// pg_ets. tests/tlog.rs builds the ledger and runs it.
package clients_test

import (
	"database/sql"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	_ "github.com/lib/pq"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The log that is read: a domain with checkpoints at each size from 0 to small,
// and one at large.
const (
	domain = "orders"
	origin = "test.example/ets/" + domain
	small  = 600
	large  = 100_000
)

// ledger is the connection; libpq's variables in the environment say where to.
var ledger *sql.DB

func TestMain(m *testing.M) {
	if os.Getenv("PGHOST") == "" || os.Getenv("PGDATABASE") == "" {
		fmt.Fprintln(os.Stderr, "no ledger to read: cargo test -p ets-tests tlog:: builds one and runs this")
		os.Exit(1)
	}
	var err error
	if ledger, err = sql.Open("postgres", ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// scan reads the one row of a query.
func scan(t *testing.T, query string, arguments []any, targets ...any) {
	t.Helper()
	if err := ledger.QueryRow(query, arguments...).Scan(targets...); err != nil {
		t.Fatalf("%s %v: %v", query, arguments, err)
	}
}

// each calls row for each row of a query.
func each(t *testing.T, query string, arguments []any, row func(*sql.Rows) error) {
	t.Helper()
	rows, err := ledger.Query(query, arguments...)
	if err != nil {
		t.Fatalf("%s %v: %v", query, arguments, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			t.Fatalf("%s %v: %v", query, arguments, err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s %v: %v", query, arguments, err)
	}
}

// verifiers has the key that SQL names for a domain's log.
func verifiers(t *testing.T, domain string) note.Verifiers {
	t.Helper()
	var key string
	scan(t, "SELECT ets.verifier_key($1)", []any{domain}, &key)
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return note.VerifierList(verifier)
}

// body is the text of a checkpoint note.
type body struct {
	origin, metaRoot string
	tree             tlog.Tree
}

// open opens a signed note and reads its text by C2SP tlog-checkpoint.
// tlog.ParseTree reads the Go checksum database's own first line only.
func open(signed string, known note.Verifiers) (body, error) {
	opened, err := note.Open([]byte(signed), known)
	if err != nil {
		return body{}, err
	}
	if len(opened.Sigs) != 1 {
		return body{}, fmt.Errorf("%d verified signatures", len(opened.Sigs))
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 5 || lines[4] != "" {
		return body{}, fmt.Errorf("not four lines: %q", opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] {
		return body{}, fmt.Errorf("no size: %q", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return body{}, err
	}
	metaRoot := strings.TrimPrefix(lines[3], "ets-metaroot ")
	if decoded, err := base64.StdEncoding.DecodeString(metaRoot); err != nil || len(decoded) != tlog.HashSize {
		return body{}, fmt.Errorf("no MetaRoot: %q", lines[3])
	}
	return body{lines[0], metaRoot, tlog.Tree{N: size, Hash: root}}, nil
}

// checkpoint is one of the domain's, as its note states it.
type checkpoint struct {
	id   int64
	tree tlog.Tree
}

// checkpoints opens the note of every checkpoint of the domain, by size.
func checkpoints(t *testing.T) []checkpoint {
	t.Helper()
	known := verifiers(t, domain)
	var all []checkpoint
	each(t, `SELECT c.checkpoint_id, r.note, r.tree_size, r.root_hash, c.meta_root
		FROM ets.domain_root r JOIN ets.checkpoint c USING (checkpoint_id) WHERE r.domain = $1 ORDER BY 1`,
		[]any{domain}, func(rows *sql.Rows) error {
			var id, size int64
			var signed string
			var root, metaRoot []byte
			if err := rows.Scan(&id, &signed, &size, &root, &metaRoot); err != nil {
				return err
			}
			stated, err := open(signed, known)
			if err != nil {
				return fmt.Errorf("%w:\n%s", err, signed)
			}
			if stated.origin != origin || stated.tree.N != size || string(stated.tree.Hash[:]) != string(root) ||
				stated.metaRoot != base64.StdEncoding.EncodeToString(metaRoot) {
				return fmt.Errorf("the note of checkpoint %d states something else:\n%s", id, signed)
			}
			all = append(all, checkpoint{id, stated.tree})
			return nil
		})
	return all
}
