package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// grace is how long requests in progress may continue after a stop. Kubernetes kills a process 30
// s after it has asked the process to stop.
const grace = 15 * time.Second

// Run listens on all addresses and serves until ctx ends or a listener fails. Then it closes
// everything in order. If onReady is not nil, Run calls it when all listeners are open.
func (a *App) Run(ctx context.Context, onReady func()) (err error) {
	defer func() {
		closing, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer done()
		err = errors.Join(err, a.Close(closing))
	}()
	var connections []*server.Connections
	type running struct {
		*http.Server
		net.Listener
	}
	var servers []running
	for _, l := range a.config.Listen {
		certificates, err := a.certificates(l.TLS)
		if err == nil {
			var at net.Listener
			if at, err = listen(l.Address); err == nil {
				s := server.HTTP(a.Handler(groups(l.Serve)...), certificates, a.log)
				c := a.limitConnections(s)
				connections = append(connections, c)
				servers = append(servers, running{s, c.Bound(at)})
				a.log.Info("listening", "address", at.Addr().String(), "tls", l.TLS != nil, "serves", strings.Join(l.Serve, ","))
				continue
			}
		}
		for _, s := range servers {
			err = errors.Join(err, s.Listener.Close())
		}
		return err
	}
	a.connections.Store(&connections)
	root := a.keys().Root() // the root before any reload
	start := a.recordStart(ctx)
	defer a.record(journal.Service{Action: "service.stop", Target: a.version})
	if onReady != nil {
		onReady()
	}

	failed := make(chan error, len(servers))
	for _, s := range servers {
		go func() {
			if s.TLSConfig != nil {
				failed <- s.ServeTLS(s.Listener, "", "")
				return
			}
			failed <- s.Serve(s.Listener)
		}()
	}
	a.recordRoot(a.lastRoot(ctx, start), root)
	select {
	case <-ctx.Done():
		a.log.Info("stopping")
	case err = <-failed:
		err = fmt.Errorf("serving: %w", err)
	}
	a.stop()
	stopping, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer done()
	for _, s := range servers {
		if e := s.Shutdown(stopping); e != nil {
			a.log.Warn("requests were interrupted, because they did not finish in time before the stop", "error", e)
			_ = s.Server.Close()
		}
	}
	return err
}

// limitConnections limits the open connections of a server.
func (a *App) limitConnections(s *http.Server) *server.Connections {
	c := server.NewConnections(server.ConnectionsOptions{
		Max: a.config.Limits.Connections, TrustedProxies: func() []netip.Prefix { return a.server.Load().TrustedProxies },
	})
	c.Watch(s)
	return c
}

// connectionStats returns the sums of the connections of all listeners.
func (a *App) connectionStats() (sum server.ConnectionsStats) {
	if all := a.connections.Load(); all != nil {
		for _, one := range *all {
			s := one.Stats()
			sum.Open, sum.Closed, sum.Refused = sum.Open+s.Open, sum.Closed+s.Closed, sum.Refused+s.Refused
		}
	}
	return sum
}

func (a *App) certificates(t *config.TLS) (*tls.Config, error) {
	switch {
	case t == nil:
		return nil, nil
	case t.SelfSigned:
		return server.SelfSigned(a.now())
	}
	return server.CertificateFiles(t.Certificate, t.Key, a.now, a.log)
}

// listen listens on an address. Its error contains the solution.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listening at %s: the address is in use by another program; stop it, or choose another address under `listen`", address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listening at %s: not permitted; choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE", address)
	case err != nil:
		return nil, fmt.Errorf("listening at %s: %w", address, err)
	}
	return l, nil
}

func groups(from []string) []server.EndpointGroup {
	list := make([]server.EndpointGroup, len(from))
	for i, f := range from {
		list[i] = server.EndpointGroup(f)
	}
	return list
}

// listeners returns a text for each listener with all of its settings. To find a changed setting,
// compare the texts.
func listeners(cfg *config.Config) []string {
	list := make([]string, 0, len(cfg.Listen))
	for _, l := range cfg.Listen {
		t := config.TLS{}
		if l.TLS != nil {
			t = *l.TLS
		}
		list = append(list, fmt.Sprintf("%s %+v %v", l.Address, t, l.Serve))
	}
	return list
}
