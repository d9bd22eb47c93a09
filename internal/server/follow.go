package server

import (
	"net/http"
	"sync/atomic"
)

// Follow returns a handler of some faces of whatever server current returns: a reload makes a new one.
// A request is answered by one server from its beginning to its end.
func Follow(current func() *Server, faces ...Face) http.Handler {
	var built atomic.Pointer[followed]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, f := current(), built.Load()
		if f == nil || f.server != s {
			f = &followed{s, s.Handler(faces...)}
			built.Store(f)
		}
		f.handler.ServeHTTP(w, r)
	})
}

// followed is the handler of one server.
type followed struct {
	server  *Server
	handler http.Handler
}
