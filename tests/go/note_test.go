package clients_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

func TestNotesOfAllSizesOpen(t *testing.T) {
	all := checkpoints(t)
	if len(all) != small+2 {
		t.Fatalf("%d checkpoints", len(all))
	}
	for i, checkpoint := range all[:small+1] {
		if checkpoint.tree.N != int64(i) {
			t.Errorf("checkpoint %d has size %d, not %d", checkpoint.id, checkpoint.tree.N, i)
		}
	}
	if last := all[small+1]; last.tree.N != large {
		t.Errorf("the last checkpoint has size %d", last.tree.N)
	}
	if empty := rfc6962.DefaultHasher.EmptyRoot(); !bytes.Equal(all[0].tree.Hash[:], empty) {
		t.Errorf("the empty tree has root %v, not %x", all[0].tree.Hash, empty)
	}
}

func TestTheLastNoteOfEachDomainNamesOneMetaRoot(t *testing.T) {
	metaRoots := map[string]bool{}
	for _, domain := range []string{domain, "ets.audit", "ets.registry"} {
		var signed string
		scan(t, "SELECT ets.checkpoint_note($1)", []any{domain}, &signed)
		stated, err := open(signed, verifiers(t, domain))
		if err != nil {
			t.Fatalf("%s: %v", domain, err)
		}
		if want := "test.example/ets/" + domain; stated.origin != want {
			t.Errorf("origin %s, not %s", stated.origin, want)
		}
		metaRoots[stated.metaRoot] = true
	}
	if len(metaRoots) != 1 {
		t.Errorf("MetaRoots %v", metaRoots)
	}
}

func TestANoteOpensWithItsOwnKeyOnly(t *testing.T) {
	var signed string
	scan(t, "SELECT ets.checkpoint_note($1)", []any{domain}, &signed)
	var unverified *note.UnverifiedNoteError
	if _, err := open(signed, verifiers(t, "ets.registry")); !errors.As(err, &unverified) {
		t.Errorf("opened with another domain's key: %v", err)
	}
	known := verifiers(t, domain)
	// Of the last digit of the signature's base64 some bits say nothing, and Go ignores them.
	unused := strings.LastIndex(signed, "=") - 1
	for i := range signed {
		if i == unused {
			continue
		}
		changed := []byte(signed)
		changed[i] ^= 1
		if _, err := note.Open(changed, known); err == nil {
			t.Errorf("opened with byte %d changed", i)
		}
	}
}
