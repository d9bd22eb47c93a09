package server

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// healthz answers as long as the process runs. If it does not answer, a supervisor restarts the
// process.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	_, _ = w.Write([]byte("ok\n"))
	return nil
}

// readyz reports whether requests may be routed to this instance. The instance is ready if
// everything that an answer needs works. It also reports warnings that do not affect answers.
// Details can contain file names and rules, so only programs on this machine get the details.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	for _, check := range s.Ready {
		if err := check.Ready(ctx); err != nil {
			s.Log.Warn("not ready", "check", check.Name, "error", err)
			text := check.Name
			if s.isLocal(r) {
				text = fmt.Sprintf("%s: %v", check.Name, err)
			}
			return unavailableError("not ready: %s", text)
		}
	}
	w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
	text := "ready\n"
	if s.Notes != nil {
		for _, note := range s.Notes(s.isLocal(r)) {
			text += note + "\n"
		}
	}
	_, _ = w.Write([]byte(text))
	return nil
}
