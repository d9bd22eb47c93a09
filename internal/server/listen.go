package server

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// Limits of a connection. A client that sends slowly holds a connection and little else; none of them
// holds it for long, nor if somebody else needs it (Connections).
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10 // bytes: room for an ID token in a header
	maxStreams    = 100      // requests at once on a connection of HTTP/2: what RFC 9113 (6.5.2) wants at least
)

// HTTP returns a server for h with its limits set. certificates may be nil: plain HTTP.
func HTTP(h http.Handler, certificates *tls.Config, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		TLSConfig:         certificates,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		// Handshakes that strangers break off are no news.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
