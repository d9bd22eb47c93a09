package server

import (
	"net/http"
	"sync/atomic"
)

// Reloadable returns a handler of some endpoint groups. It passes each request to the server that
// the given function returns. A reload replaces the current server. The same server answers a
// request from beginning to end.
func Reloadable(current func() *Server, groups ...EndpointGroup) http.Handler {
	var cached atomic.Pointer[builtHandler]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, f := current(), cached.Load()
		if f == nil || f.server != s {
			f = &builtHandler{s, s.Handler(groups...)}
			cached.Store(f)
		}
		f.handler.ServeHTTP(w, r)
	})
}

// builtHandler is the handler of one server.
type builtHandler struct {
	server  *Server
	handler http.Handler
}
