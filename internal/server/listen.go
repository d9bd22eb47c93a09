package server

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// Limits of a connection. A client that sends slowly uses little more than its connection.
// Because of these limits, the server soon closes the connection of such a client. If another
// client needs a connection, the slow client loses its connection earlier (see Connections).
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10 // bytes: room for an ID token in a header
	// maxStreams is the maximum number of concurrent requests on an HTTP/2 connection. RFC
	// 9113 (6.5.2) recommends at least 100.
	maxStreams = 100
)

// HTTP returns a server for h with these limits. If certificates is nil, the server uses plain
// HTTP.
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
		// Anyone can interrupt a handshake, so errors of handshakes are logged only at the level
		// debug.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
