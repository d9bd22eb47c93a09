package tokenserver

import (
	"net/http"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Values of headers. All responses share these slices, because net/http only reads them.
var (
	headerJSON    = []string{"application/json"}
	headerNoStore = []string{"no-store"}
)

// Answer is the response to a token request.
type Answer struct {
	Token     []byte // from Signer.Append
	ExpiresIn int    // seconds; at least token.MinLifetime, which clients assume
	Granted   []scope.Scope

	// IssuedAt is omitted from the response if it is zero. Leave it zero for most clients, because
	// clients compare issued_at with their own clock. For example, BuildKit caches a token forever
	// if the server's clock is behind. Set IssuedAt for Harbor, which treats a response without
	// issued_at as expired.
	IssuedAt time.Time
	// RefreshToken is omitted if it is empty. Set it only for a client that requested a refresh
	// token (Request.Offline), because the client stores the refresh token instead of the
	// password.
	RefreshToken string
}

// Write writes the response. The response contains the token twice, as token and as access_token,
// because some clients know only one of these names.
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
		b, _ = granted.AppendText(b) // never fails; a parsed scope needs no escaping in JSON
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
	_, _ = w.Write(b) // an error means that the client has disconnected
	*buffer = b
	buffers.Put(buffer)
}
