package clients_test

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

// provedSizes are those at which SQL proves every leaf: around the powers of two
// and the borders of tiles.
var provedSizes = []int64{1, 2, 3, 4, 5, 7, 8, 9, 127, 128, 129, 255, 256, 257, 511, 512, 513, small}

func TestInclusionProofsOfSQLVerify(t *testing.T) {
	leaves := leafHashes(t)
	bySize := map[int64]checkpoint{}
	for _, checkpoint := range checkpoints(t) {
		bySize[checkpoint.tree.N] = checkpoint
	}
	prove := func(size, every int64) {
		proved := int64(0)
		root := bySize[size].tree.Hash
		each(t, `SELECT l.leaf_index, array_agg(p.hash ORDER BY p.step) FILTER (WHERE p.step IS NOT NULL)
			FROM ets.merkle_leaf l LEFT JOIN LATERAL ets.merkle_proof(l.event_id, $2) p ON true
			WHERE l.domain = $1 AND l.leaf_index < $3 AND l.leaf_index % $4 = 0 GROUP BY 1`,
			[]any{domain, bySize[size].id, size, every}, func(rows *sql.Rows) error {
				var index uint64
				var path pq.ByteaArray
				if err := rows.Scan(&index, &path); err != nil {
					return err
				}
				proved++
				return proof.VerifyInclusion(
					rfc6962.DefaultHasher, index, uint64(size), leaves[index][:], path, root[:])
			})
		if want := (size + every - 1) / every; proved != want {
			t.Errorf("size %d: %d of %d proved", size, proved, want)
		}
	}
	for _, size := range provedSizes {
		prove(size, 1)
	}
	prove(large, 97)
}

func TestConsistencyProofsOfSQLVerify(t *testing.T) {
	roots := map[int64]tlog.Hash{}
	for _, checkpoint := range checkpoints(t) {
		roots[checkpoint.tree.N] = checkpoint.tree.Hash
	}
	proved := 0
	each(t, `SELECT older, newer, (SELECT array_agg(hash ORDER BY step) FROM ets.consistency_proof($1, older, newer))
		FROM unnest($2::bigint[]) newer, generate_series(0, least(newer, $3)) older`,
		[]any{domain, pq.Array(append(provedSizes, large)), small}, func(rows *sql.Rows) error {
			var older, newer int64
			var path pq.ByteaArray
			if err := rows.Scan(&older, &newer, &path); err != nil {
				return err
			}
			proved++
			from, to := roots[older], roots[newer]
			return proof.VerifyConsistency(
				rfc6962.DefaultHasher, uint64(older), uint64(newer), path, from[:], to[:])
		})
	want := small + 1
	for _, size := range provedSizes {
		want += int(size) + 1
	}
	if proved != want {
		t.Errorf("%d of %d proved", proved, want)
	}
}

// checkTlogProof reads a proof by C2SP tlog-proof and checks it.
func checkTlogProof(text string, leaf func(index int64) tlog.Hash, open func(note string) (body, error)) error {
	head, signed, found := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		return fmt.Errorf("no proof: %q", text)
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil || lines[1] != fmt.Sprintf("index %d", index) {
		return fmt.Errorf("no index: %q", lines[1])
	}
	var path tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		path = append(path, hash)
	}
	stated, err := open(signed)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, stated.tree.N, stated.tree.Hash, index, leaf(index))
}

func TestTlogProofsVerifyOffline(t *testing.T) {
	leaves := leafHashes(t)
	known := verifiers(t, domain)
	proved := 0
	each(t, `SELECT leaf_index, ets.tlog_proof(event_id) FROM ets.merkle_leaf
		WHERE domain = $1 AND (leaf_index <= $2 OR leaf_index % 97 = 0 OR leaf_index = $3)`,
		[]any{domain, small, large - 1}, func(rows *sql.Rows) error {
			var index int64
			var text string
			if err := rows.Scan(&index, &text); err != nil {
				return err
			}
			proved++
			open := func(signed string) (body, error) { return open(signed, known) }
			if err := checkTlogProof(text, func(int64) tlog.Hash { return leaves[index] }, open); err != nil {
				return fmt.Errorf("%w:\n%s", err, text)
			}
			other := func(int64) tlog.Hash { return leaves[(index+1)%large] }
			if checkTlogProof(text, other, open) == nil {
				return fmt.Errorf("proves another event too:\n%s", text)
			}
			return nil
		})
	want := 0
	for index := range leaves {
		if index <= small || index%97 == 0 || index == large-1 {
			want++
		}
	}
	if proved != want {
		t.Errorf("%d of %d proved", proved, want)
	}
}
