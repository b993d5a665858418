// Places orders: a row of the application and a signed event of the ledger, in one
// transaction. Connection by libpq's variables, the key by ETS_KEY (PKCS #8 PEM).
//
//	go run . place|fail|again ORDER CENTS
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/gowebpki/jcs"
	"github.com/lib/pq"
)

// The request is in the payload: two orders that are alike but for it are two events.
type order struct {
	Request string `json:"request"`
	Order   string `json:"order"`
	Cents   int64  `json:"cents"`
}

// sign: SHA-256 over the canonical payload (RFC 8785) and the hash before, signed
// by Ed25519. The server computes the same and verifies.
func sign(key ed25519.PrivateKey, payload, previous []byte) ([]byte, error) {
	canonical, err := jcs.Transform(payload)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(append(canonical, previous...))
	return ed25519.Sign(key, hash[:]), nil
}

// place answers the id of the event. Who asks again after a lost answer does so with
// the same request, finds the application's row, and with it the event.
func place(ctx context.Context, db *sql.DB, key ed25519.PrivateKey, o order, then error) (eventID string, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return "", err
	}
	defer tx.Rollback()
	err = tx.QueryRowContext(ctx, `SELECT event_id FROM shop.placed WHERE request_id = $1`, o.Request).Scan(&eventID)
	if !errors.Is(err, sql.ErrNoRows) {
		return eventID, err
	}
	var previous []byte
	if err = tx.QueryRowContext(ctx, `SELECT head_hash FROM ets.head('orders', $1)`, o.Order).Scan(&previous); err != nil {
		return "", err
	}
	payload, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	signature, err := sign(key, payload, previous)
	if err != nil {
		return "", err
	}
	if err = tx.QueryRowContext(ctx, `SELECT event_id FROM ets.append($1, 'order/1.0.0', $2, $3, $4)`,
		string(payload), []byte(key.Public().(ed25519.PublicKey)), previous, signature).Scan(&eventID); err != nil {
		return "", err
	}
	if _, err = tx.ExecContext(ctx, `INSERT INTO shop.placed (request_id, order_id, cents, event_id) VALUES ($1, $2, $3, $4)`,
		o.Request, o.Order, o.Cents, eventID); err != nil {
		return "", err
	}
	if then != nil {
		return "", then
	}
	return eventID, tx.Commit()
}

// Another event was faster (ET005), or PostgreSQL asks to try again: the whole
// transaction, on the new head.
func retry(err error) bool {
	var refused *pq.Error
	return errors.As(err, &refused) && (refused.Code == "ET005" || refused.Code == "40001" || refused.Code == "40P01")
}

func run() error {
	if len(os.Args) != 4 {
		return errors.New("usage: place|fail|again ORDER CENTS")
	}
	cents, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(os.Getenv("ETS_KEY"))
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("ETS_KEY is no PEM file")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	key, isEd25519 := parsed.(ed25519.PrivateKey)
	if !isEd25519 {
		return errors.New("ETS_KEY is no Ed25519 key")
	}
	db, err := sql.Open("postgres", "")
	if err != nil {
		return err
	}
	defer db.Close()
	request := make([]byte, 16)
	if _, err = rand.Read(request); err != nil {
		return err
	}
	times, then := 1, error(nil)
	switch os.Args[1] {
	case "again":
		times = 2 // as after a lost answer
	case "fail":
		then = errors.New("out of stock")
	}
	for i := 0; i < times; i++ {
		var eventID string
		for {
			eventID, err = place(context.Background(), db, key, order{fmt.Sprintf("%x", request), os.Args[2], cents}, then)
			if !retry(err) {
				break
			}
		}
		if err != nil {
			return err
		}
		fmt.Println(eventID)
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
