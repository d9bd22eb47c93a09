package rulebook

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"io"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Write is how a transaction is written.
type Write = func(ctx context.Context, topic string, f func(*sql.Tx) error) error

// SetWrite puts a misbehaving database before the real one.
func (b *Rulebook) SetWrite(wrap func(real Write) Write) { b.write = wrap(b.write) }

// SetWait lets a test say how long a rest is.
func (b *Rulebook) SetWait(f func(context.Context, time.Duration) error) { b.turn.wait = f }

// RestAfter is how long nobody makes a policy after one that took so long.
func RestAfter(took time.Duration) time.Duration { return restAfter(took) }

// RightsTopic is what the database counts changes of rights under.
const RightsTopic = rightsTopic

// Pack returns the JSON of a version as it is stored.
func Pack(source policy.Source) (string, error) {
	packed, err := pack(shortened(source), gzip.DefaultCompression)
	if err != nil {
		return "", err
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(z)
	return strings.TrimSpace(string(text)), err
}
