package server

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/loglimit"
)

// misconfiguration is a kind of request that fails, or has an unexpected result, because of a
// wrong setup between the client and this server. Clients show their users little or nothing
// about the cause, so the request is logged for the operator.
type misconfiguration string

const (
	noMisconfiguration misconfiguration = ""
	wrongSecret        misconfiguration = "notification_secret"
	wrongNotification  misconfiguration = "notification_path"
	wrongTokenPath     misconfiguration = "token_path"
	unknownService     misconfiguration = "unknown_service"
	missingService     misconfiguration = "missing_service"
	droppedPassword    misconfiguration = "account_without_credentials"
	untrustedProxy     misconfiguration = "untrusted_proxy"
	tooManyScopes      misconfiguration = "too_many_scopes"
	unknownAddress     misconfiguration = "unknown_address"
	silentProxy        misconfiguration = "silent_proxy"
	noEvents           misconfiguration = "no_events"
	badRequest         misconfiguration = "bad_request"
)

// messages has a text for each kind, with the problem and the solution.
var messages = map[misconfiguration]string{
	wrongSecret:       "events refused, wrong or missing secret: compare the header Authorization in the registry's notifications with notifications.secret of the registry here",
	wrongNotification: "events posted to a path that is not served: correct the URL of the endpoint in the registry's notifications",
	wrongTokenPath:    "token requested at a path that is not served: correct the realm in the registry's config, or set paths.token",
	unknownService:    "token refused, unknown service: add the registry under registries, or correct the service in the registry's config",
	missingService:    "token refused, no service given: set the service in the registry's config",
	droppedPassword:   "a client named its account, but no password arrived: configure the proxy to forward the header Authorization",
	untrustedProxy:    "X-Forwarded-For ignored, the peer is not a trusted proxy: if it is your proxy, add it to trusted_proxies",
	unknownAddress:    "the address of a client is unknown, so conditions on request.ip fail: configure the proxy to send the client's address in X-Forwarded-For",
	silentProxy:       "a trusted proxy forwards requests without the client's address, so all its clients share the proxy's address: configure the proxy to send the client's address in X-Forwarded-For",
	noEvents:          "pushes were granted, but the registry has reported no events: set notifications in the registry's config, and check the registry's log for errors",
	tooManyScopes:     "a client requested more scopes than a request may have, and only the first scopes were answered: split the request on the client",
	badRequest:        "bad request",
}

// kindsOfMisconfigurations returns the kinds as a list for the help of the metric.
func kindsOfMisconfigurations() string {
	kinds := make([]string, 0, len(messages))
	for _, kind := range slices.Sorted(maps.Keys(messages)) {
		kinds = append(kinds, string(kind))
	}
	return strings.Join(kinds, ", ")
}

// Misconfigurations logs requests that fail because of a wrong setup: the first request of a kind
// at once, then at most one line a minute. A reload does not reset these times.
type Misconfigurations struct {
	kinds map[misconfiguration]*loglimit.Limit
}

// NewMisconfigurations returns an empty Misconfigurations.
func NewMisconfigurations() *Misconfigurations {
	r := &Misconfigurations{make(map[misconfiguration]*loglimit.Limit, len(messages))}
	for kind := range messages {
		r.kinds[kind] = &loglimit.Limit{Period: time.Minute}
	}
	return r
}

// note counts a request, and logs it unless a line of the same kind was logged less than a minute
// ago. The attributes describe the request. The caller must first make text from the client safe
// to print.
func (r *Misconfigurations) note(log *slog.Logger, now time.Time, kind misconfiguration, attrs ...any) {
	missed, ok := r.kinds[kind].Allow(now)
	if !ok {
		return
	}
	attrs = append(attrs, "kind", string(kind))
	if missed > 0 {
		attrs = append(attrs, loglimit.Missed, missed)
	}
	log.Warn(messages[kind], attrs...)
}
