package catalog

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// A cursor has the last place that was examined for a page. The reader may not be allowed to see
// the repository at that place. So the place is encrypted with a key that is in the tables of the
// catalog, where all replicas find it. A rebuild creates a new key, so it invalidates all cursors.

const (
	keySize = 32 // bytes, for AES-256
	// The size of a place is rounded up to a multiple of cursorStep bytes. Otherwise a cursor
	// would reveal the length of the repository's name.
	cursorStep = 512
)

// createKey adds the key of the cursors if the catalog has none.
func createKey(ctx context.Context, tx *sql.Tx) error {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // cannot fail
	_, err := tx.ExecContext(ctx, `INSERT INTO catalog_key (id, key) VALUES (1, $1) ON CONFLICT (id) DO NOTHING`, key)
	return err
}

// cursorCipher returns the cipher of the cursors, or sql.ErrNoRows if the catalog is empty.
func cursorCipher(ctx context.Context, q store.Querier) (cipher.AEAD, error) {
	var key []byte
	if err := q.QueryRowContext(ctx, `SELECT key FROM catalog_key`).Scan(&key); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// list returns the properties of the query that are the same for all pages of a list. A cursor is
// valid only for a query with the same properties. Otherwise a reader could use a cursor with a
// list in another order, and learn where a hidden repository is in that order.
func (q *Query) list() []byte {
	return []byte(strings.Join([]string{string(q.Sort), q.Registry, q.Prefix}, nul))
}

// cursor returns the cursor of a place: the text for Page.After.
func (r *Reader) cursor(ctx context.Context, q *Query, p *place) (string, error) {
	sealer, err := cursorCipher(ctx, r.view)
	if err != nil {
		return "", err
	}
	text, _ := json.Marshal([]any{p.rank, p.name, p.registry}) // cannot fail
	for len(text)%cursorStep != 0 {
		text = append(text, ' ')
	}
	return base64.RawURLEncoding.EncodeToString(sealer.Seal(nil, nil, text, q.list())), nil
}

// parseCursor returns the place of a cursor, or nil for the first page.
func (r *Reader) parseCursor(ctx context.Context, q *Query) (*place, error) {
	if q.After == "" {
		return nil, nil
	}
	opener, err := cursorCipher(ctx, r.view)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	var p place
	var text []byte
	if err == nil {
		text, err = base64.RawURLEncoding.DecodeString(q.After)
	}
	if err == nil {
		text, err = opener.Open(nil, nil, text, q.list())
	}
	if err == nil {
		err = json.Unmarshal(text, &[]any{&p.rank, &p.name, &p.registry})
	}
	if err != nil {
		return nil, admin.Invalid("after", "not a value of next from a page of this list, or the catalog was rebuilt after that page: begin with the first page")
	}
	return &p, nil
}
