package clients_test

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// tiles fetches tiles as tlog asks for them: each of exactly the width that it
// has in the tree of the checkpoint.
type tiles struct {
	fetched map[tlog.Tile][]byte
	saved   int
}

func (*tiles) Height() int { return 8 }

func (r *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(wanted))
	for i, tile := range wanted {
		if _, known := r.fetched[tile]; !known {
			var hashes []byte
			row := ledger.QueryRow("SELECT ets.tile($1, $2, $3, $4)", domain, tile.L, tile.N, tile.W)
			if err := row.Scan(&hashes); err != nil {
				return nil, fmt.Errorf("%s: %w", tile.Path(), err)
			}
			r.fetched[tile] = hashes
		}
		data[i] = r.fetched[tile]
	}
	return data, nil
}

// SaveTiles is told which tiles tlog has found to belong to the signed tree.
func (r *tiles) SaveTiles(verified []tlog.Tile, _ [][]byte) { r.saved += len(verified) }

// nodes reads every node of a tree through its tiles, verified by tlog against
// the signed root.
func (r *tiles) nodes(tree tlog.Tree) (tlog.HashReaderFunc, error) {
	indexes := make([]int64, tlog.StoredHashCount(tree.N))
	for i := range indexes {
		indexes[i] = int64(i)
	}
	hashes, err := tlog.TileHashReader(tree, r).ReadHashes(indexes)
	return func(indexes []int64) ([]tlog.Hash, error) {
		wanted := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			wanted[i] = hashes[index]
		}
		return wanted, nil
	}, err
}

// TestTilesProveEverythingAtEverySize fetches the tiles of each tree, has tlog
// verify them against the signed root, and proves from them each leaf of the
// tree, and each smaller tree to be its beginning.
func TestTilesProveEverythingAtEverySize(t *testing.T) {
	all := checkpoints(t)
	leaves := leafHashes(t)
	reader := &tiles{fetched: map[tlog.Tile][]byte{}}
	for _, checkpoint := range all {
		tree := checkpoint.tree
		if tree.N == 0 {
			continue
		}
		nodes, err := reader.nodes(tree)
		if err != nil {
			t.Fatalf("size %d: %v", tree.N, err)
		}
		if root, err := tlog.TreeHash(tree.N, nodes); err != nil || root != tree.Hash {
			t.Errorf("size %d: root %v, not %v (%v)", tree.N, root, tree.Hash, err)
		}
		for n, leaf := range leaves[:tree.N] {
			proof, err := tlog.ProveRecord(tree.N, int64(n), nodes)
			if err == nil {
				err = tlog.CheckRecord(proof, tree.N, tree.Hash, int64(n), leaf)
			}
			if err != nil {
				t.Errorf("leaf %d of %d: %v", n, tree.N, err)
			}
		}
		for _, older := range all {
			if older.tree.N == 0 || older.tree.N > tree.N {
				continue
			}
			proof, err := tlog.ProveTree(tree.N, older.tree.N, nodes)
			if err == nil {
				err = tlog.CheckTree(proof, tree.N, tree.Hash, older.tree.N, older.tree.Hash)
			}
			if err != nil {
				t.Errorf("%d to %d: %v", older.tree.N, tree.N, err)
			}
		}
	}
	if reader.saved == 0 || len(reader.fetched) < small+large/256 {
		t.Errorf("%d tiles fetched, %d verified", len(reader.fetched), reader.saved)
	}
}

func TestATileIsTheBeginningOfTheFullOne(t *testing.T) {
	var full []byte
	scan(t, "SELECT ets.tile($1, 0, 2)", []any{domain}, &full)
	for width := 1; width <= 256; width++ {
		var partial []byte
		scan(t, "SELECT ets.tile($1, 0, 2, $2)", []any{domain, width}, &partial)
		if !bytes.Equal(partial, full[:32*width]) {
			t.Errorf("width %d is another tile", width)
		}
	}
}

// entries reads an entry bundle (C2SP tlog-tiles, "Log entries").
func entries(bundle []byte) ([][]byte, error) {
	var all [][]byte
	for len(bundle) > 0 {
		if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			return nil, fmt.Errorf("bundle ends within entry %d", len(all))
		}
		length := int(binary.BigEndian.Uint16(bundle))
		all = append(all, bundle[2:2+length])
		bundle = bundle[2+length:]
	}
	return all, nil
}

// bundle fetches and reads an entry bundle, which must have as many entries as
// it is wide.
func bundle(t *testing.T, index int64, width int64) [][]byte {
	t.Helper()
	var data []byte
	scan(t, "SELECT ets.entry_bundle($1, $2, $3)", []any{domain, index, width}, &data)
	all, err := entries(data)
	if err != nil || int64(len(all)) != width {
		t.Fatalf("bundle %d of width %d: %d entries (%v)", index, width, len(all), err)
	}
	return all
}

// fetchedEntries are the log's, once a test has fetched them.
var fetchedEntries [][]byte

// logEntries fetches all entries of the greatest tree.
func logEntries(t *testing.T) [][]byte {
	t.Helper()
	if fetchedEntries == nil {
		var all [][]byte
		for index := int64(0); index < large/256; index++ {
			all = append(all, bundle(t, index, 256)...)
		}
		fetchedEntries = append(all, bundle(t, large/256, large%256)...)
	}
	return fetchedEntries
}

func leafHashes(t *testing.T) []tlog.Hash {
	t.Helper()
	entries := logEntries(t)
	hashes := make([]tlog.Hash, len(entries))
	for i, entry := range entries {
		hashes[i] = tlog.RecordHash(entry)
	}
	return hashes
}

// TestEntryBundlesOfEverySizeGrow fetches the partial bundle of each size.
func TestEntryBundlesOfEverySizeGrow(t *testing.T) {
	all := logEntries(t)
	for size := int64(1); size <= small; size++ {
		if size%256 == 0 {
			continue
		}
		first := size / 256 * 256
		for i, entry := range bundle(t, size/256, size%256) {
			if !bytes.Equal(entry, all[first+int64(i)]) {
				t.Errorf("size %d: entry %d is another", size, first+int64(i))
			}
		}
	}
}

// TestEntriesAreTheHeadersOfTheEvents compares each entry with what SQL says of
// its leaf: the event without its payload.
func TestEntriesAreTheHeadersOfTheEvents(t *testing.T) {
	all := logEntries(t)
	next := 0
	each(t, `SELECT leaf_index, event_id, stream, sequence, encode(current_hash, 'hex')
		FROM ets.merkle_leaf JOIN ets.ledger_event USING (event_id, domain) WHERE domain = $1 ORDER BY 1`,
		[]any{domain}, func(rows *sql.Rows) error {
			var index, sequence int64
			var id, stream, hash string
			if err := rows.Scan(&index, &id, &stream, &sequence, &hash); err != nil {
				return err
			}
			var header map[string]any
			if err := json.Unmarshal(all[index], &header); err != nil {
				return err
			}
			if _, has := header["payload"]; has || len(header) != 12 {
				return fmt.Errorf("entry %d is no header: %s", index, all[index])
			}
			if header["event_id"] != id || header["domain"] != domain || header["stream"] != stream ||
				header["sequence"] != float64(sequence) || header["current_hash"] != hash {
				return fmt.Errorf("entry %d is another event's: %s", index, all[index])
			}
			next++
			return nil
		})
	if next != large {
		t.Errorf("%d leaves", next)
	}
}

// TestStaticFilesAreTheLog reads the files that examples/static-log/publish has
// written.
func TestStaticFilesAreTheLog(t *testing.T) {
	folder := os.Getenv("ETS_STATIC_LOG")
	readLog(t, func(path string) []byte {
		content, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(path)))
		if err != nil {
			t.Fatal(err)
		}
		return content
	})
}

// TestTheHTTPServerServesTheLog reads the same from the server's paths.
func TestTheHTTPServerServesTheLog(t *testing.T) {
	client := http.Client{Timeout: time.Minute}
	readLog(t, func(path string) []byte {
		answer, err := client.Get(os.Getenv("ETS_HTTP") + "/tlog/" + domain + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		content, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s (%v)", path, answer.Status, content, err)
		}
		// What is under a number never changes; the checkpoint does.
		caching := answer.Header.Get("Cache-Control")
		if immutable := strings.HasPrefix(path, "tile/"); strings.Contains(caching, "immutable") != immutable {
			t.Errorf("%s: Cache-Control: %s", path, caching)
		}
		return content
	})
}

// readLog reads the note, each tile at tlog's own path, and the entry bundles.
func readLog(t *testing.T, read func(path string) []byte) {
	stated, err := open(string(read("checkpoint")), verifiers(t, domain))
	if err != nil || stated.tree.N != large {
		t.Fatalf("checkpoint of size %d (%v)", stated.tree.N, err)
	}
	files := &tiles{fetched: map[tlog.Tile][]byte{}}
	for _, tile := range tlog.NewTiles(8, 0, large) {
		// tlog's path names the height too, which C2SP tlog-tiles fixes: tile/8/0/000.
		files.fetched[tile] = read(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
	}
	count := len(files.fetched)
	if _, err := files.nodes(stated.tree); err != nil {
		t.Error(err)
	}
	if len(files.fetched) != count {
		t.Errorf("%d tiles are no files", len(files.fetched)-count)
	}
	for tile, hashes := range files.fetched {
		if tile.L > 0 {
			continue
		}
		tile.L = -1
		path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
		all, err := entries(read(path))
		if err != nil || len(all) != tile.W {
			t.Fatalf("%s: %d entries (%v)", path, len(all), err)
		}
		for i, entry := range all {
			if hash := tlog.RecordHash(entry); !bytes.Equal(hash[:], hashes[32*i:32*(i+1)]) {
				t.Errorf("%s: entry %d is not under its leaf", path, i)
			}
		}
	}
}
