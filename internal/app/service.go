package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"os"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/token"
)

// record writes an entry about the service to the journal. It does not wait until the entry is
// written. If an entry is lost, the journal counts and logs the loss.
func (a *App) record(s journal.Service) {
	if a.journal != nil { // nil: New has not opened the journal yet
		_ = a.journal.Record(journal.Entry{Service: &s})
	}
}

// keys returns the current keys.
func (a *App) keys() *keyring.Keyring { return a.issuer.Live().Keys }

// recordStart records the start of the service, and returns the id of the entry.
func (a *App) recordStart(ctx context.Context) journal.ID {
	details := map[string]any{"database": a.db.ID(), "root": fingerprint(a.keys().Root().Certificate())}
	if schema, err := a.db.Schema(ctx); err == nil {
		details["schema"] = schema
	}
	if host, err := os.Hostname(); err == nil {
		details["host"] = host
	}
	if a.config.PublicURL != "" {
		details["public_url"] = a.config.PublicURL
	}
	entry := journal.Entry{ID: journal.NewID(a.now()), Service: &journal.Service{Action: "service.start", Target: a.version, Details: details}}
	_ = a.journal.Record(entry) // as in record
	a.recordLeaves(a.keys().Leaves())
	return entry.ID
}

// maxStart is the time limit of the search for the root of the previous start.
const maxStart = 5 * time.Second

// lastRoot returns the fingerprint of the root that signed tokens before the service started. The
// id identifies the journal entry of this start. If lastRoot finds no fingerprint, it returns "".
// It searches only the newest entries of the journal, because the entry of each start contains the
// fingerprint, too.
func (a *App) lastRoot(ctx context.Context, id journal.ID) (root string) {
	// The search continues even if the service stops at once.
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), maxStart)
	defer end()
	const maxSearched = 200_000
	var last journal.ID
	for _, action := range []string{"service.start", "key.root"} {
		q := journal.Query{Kind: journal.KindService, Action: action}
		page, err := a.journal.Search(ctx, q, 0, 10, func(searched int) bool { return searched >= maxSearched })
		if err != nil {
			return ""
		}
		for _, e := range page.Entries {
			if bytes.Compare(e.ID[:], id[:]) >= 0 || bytes.Compare(e.ID[:], last[:]) <= 0 {
				continue // the entry of this process
			}
			last = e.ID
			if root = e.Service.Target; action == "service.start" {
				root, _ = e.Service.Details["root"].(string)
			}
		}
	}
	return root
}

// recordRoot records a change of the root that signs. If the fingerprint of the former root is
// "", that root is unknown, and recordRoot does nothing.
func (a *App) recordRoot(former string, root *token.Root) {
	c := root.Certificate()
	if now := fingerprint(c); former != "" && now != former {
		a.record(journal.Service{Action: "key.root", Target: now, Details: map[string]any{
			"before": former, "subject": c.Subject.String(), "until": until(c),
		}})
	}
}

// recordLeaves records new leaf certificates. From now on, their keys sign tokens.
func (a *App) recordLeaves(leaves []*x509.Certificate) {
	for _, leaf := range leaves {
		a.record(journal.Service{Action: "key.leaf", Target: fingerprint(leaf), Details: map[string]any{
			"algorithm": leaf.PublicKeyAlgorithm.String(), "until": until(leaf),
		}})
	}
}

// fingerprint returns the SHA-256 of a certificate, as openssl x509 -fingerprint -sha256 prints
// it.
func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func until(c *x509.Certificate) string { return c.NotAfter.UTC().Format(time.RFC3339) }
