package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// front is a proxy that serves a registry and its Tidewaiter at one address.
type front struct {
	host       string // localhost:port
	tidewaiter *httputil.ReverseProxy
	registry   http.Handler // set by start
}

func newFront(t *testing.T, tw *tidewaiter.Tidewaiter) *front {
	t.Helper()
	f := &front{tidewaiter: passThrough(t, tw.URL)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.host = "localhost:" + at.Port()
	return f
}

// start starts a registry behind the front.
func (f *front) start(t *testing.T, v registry.Version, tw *tidewaiter.Tidewaiter, service string) *registry.Registry {
	t.Helper()
	o := trust(tw, service)
	o.Realm = "http://" + f.host + "/token"
	r := registry.Start(t, v, o)
	f.registry = passThrough(t, "http://"+r.Host)
	return r
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		f.tidewaiter.ServeHTTP(w, r)
		return
	}
	f.registry.ServeHTTP(w, r)
}

// passThrough returns a proxy that does not change the client's Host header.
func passThrough(t *testing.T, to string) *httputil.ReverseProxy {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
}
