package tokenserver

import (
	"net/http"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Headers that never change; net/http only reads them.
var (
	headerJSON    = []string{"application/json"}
	headerNoStore = []string{"no-store"}
)

// Answer is what a client gets in answer to a token request.
type Answer struct {
	Token     []byte // as Signer.Append made it
	ExpiresIn int    // seconds; at least token.MinLifetime, which clients assume
	Granted   []scope.Scope

	// IssuedAt is left out if it is zero, which is the better choice. With it clients compare
	// the server's clock with theirs, and BuildKit caches a token forever if the server's is
	// late. Harbor, however, assumes that a token without it has expired.
	IssuedAt time.Time
	// RefreshToken is left out if it is empty. Give one only to a client that asked for it
	// (Request.Offline): it then stores the refresh token in place of the password.
	RefreshToken string
}

// Write writes the answer: the token under both names that clients know, since some know only one.
func (a *Answer) Write(w http.ResponseWriter) {
	buffer := buffers.Get().(*[]byte)
	b := append((*buffer)[:0], `{"token":"`...)
	b = append(b, a.Token...) // [A-Za-z0-9._-], so it needs no escaping
	b = append(b, `","access_token":"`...)
	b = append(b, a.Token...)
	b = append(b, `","expires_in":`...)
	b = strconv.AppendInt(b, int64(a.ExpiresIn), 10)
	if !a.IssuedAt.IsZero() {
		b = append(b, `,"issued_at":"`...)
		b = a.IssuedAt.UTC().Truncate(time.Second).AppendFormat(b, time.RFC3339)
		b = append(b, '"')
	}
	b = append(b, `,"scope":"`...)
	for i, granted := range a.Granted {
		if i > 0 {
			b = append(b, ' ')
		}
		b, _ = granted.AppendText(b) // never fails; what was parsed holds nothing that JSON escapes
	}
	b = append(b, '"')
	if a.RefreshToken != "" {
		b = append(b, `,"refresh_token":`...)
		b = text.AppendJSON(b, a.RefreshToken)
	}
	b = append(b, "}\n"...)

	header := w.Header()
	header["Content-Type"] = headerJSON
	header["Cache-Control"] = headerNoStore
	header["Content-Length"] = []string{strconv.Itoa(len(b))}
	_, _ = w.Write(b) // the client is gone: nothing to be done
	*buffer = b
	buffers.Put(buffer)
}
