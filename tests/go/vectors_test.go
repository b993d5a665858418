package clients_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// vector is a case of transparency-dev/merkle's testdata; ../vectors/README.md
// says where the copy comes from. The module's releases do not contain it.
type vector struct {
	File    string
	WantErr bool
	Proof   [][]byte

	LeafIdx, TreeSize uint64
	LeafHash, Root    []byte

	Size1, Size2 uint64
	Root1, Root2 []byte
}

// vectors reads one of the files, a case a line.
func vectors(t *testing.T, name string, count int) []vector {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "vectors", "merkle", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []vector
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var one vector
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if err := lines.Err(); err != nil || len(all) != count {
		t.Fatalf("%d vectors (%v)", len(all), err)
	}
	return all
}

// isTrue asks SQL. What is no argument of the function (a hash of another
// length, a number above bigint) is refused with an error of class 22.
func isTrue(t *testing.T, query string, arguments ...any) bool {
	t.Helper()
	var verdict bool
	err := ledger.QueryRow(query, arguments...).Scan(&verdict)
	if refusal, is := err.(*pq.Error); is && refusal.Code.Class() == "22" {
		return false
	}
	if err != nil {
		t.Fatalf("%s %v: %v", query, arguments, err)
	}
	return verdict
}

// array is never NULL, as a nil one would be.
func array(proof [][]byte) pq.ByteaArray { return append(pq.ByteaArray{}, proof...) }

// text is a number that may be above bigint.
func text(number uint64) string { return strconv.FormatUint(number, 10) }

func TestInclusionVectors(t *testing.T) {
	refused := 0
	for _, v := range vectors(t, "inclusion.jsonl", 98) {
		err := proof.VerifyInclusion(rfc6962.DefaultHasher, v.LeafIdx, v.TreeSize, v.LeafHash, v.Proof, v.Root)
		if (err != nil) != v.WantErr {
			t.Errorf("%s: the client says %v", v.File, err)
		}
		verdict := isTrue(t, "SELECT ets.verify_inclusion($1, $2::text::bigint, $3::text::bigint, $4, $5)",
			v.LeafHash, text(v.LeafIdx), text(v.TreeSize), array(v.Proof), v.Root)
		if verdict == v.WantErr {
			t.Errorf("%s: SQL says %v", v.File, verdict)
		}
		if !verdict {
			refused++
		}
	}
	if refused != 92 {
		t.Errorf("%d refused", refused)
	}
}

func TestConsistencyVectors(t *testing.T) {
	refused := 0
	for _, v := range vectors(t, "consistency.jsonl", 98) {
		err := proof.VerifyConsistency(rfc6962.DefaultHasher, v.Size1, v.Size2, v.Proof, v.Root1, v.Root2)
		// The vectors are newer than the client, which takes an empty tree of any root.
		acceptsNothing := err == nil && v.Size1 == 0 && len(v.Proof) == 0
		if (err != nil) != v.WantErr && !acceptsNothing {
			t.Errorf("%s: the client says %v", v.File, err)
		}
		verdict := isTrue(t, "SELECT ets.verify_consistency($1::text::bigint, $2::text::bigint, $3, $4, $5)",
			text(v.Size1), text(v.Size2), array(v.Proof), v.Root1, v.Root2)
		// Two equal roots that are no hashes: the client compares any bytes.
		noHash := strings.HasSuffix(v.File, "sizes-are-equal-one-and-proof-is-empty.json")
		if verdict == (v.WantErr || noHash) {
			t.Errorf("%s: SQL says %v", v.File, verdict)
		}
		if !verdict {
			refused++
		}
	}
	if refused != 93 {
		t.Errorf("%d refused", refused)
	}
}
