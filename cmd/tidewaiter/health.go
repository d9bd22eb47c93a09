package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/endpoint"
)

func healthCommand() command {
	return command{
		use:   "health",
		short: "Check the health of the service on this machine",
		long: `Check the health of the service that runs on this machine with this config: GET
/healthz, or /readyz with --ready. Exits 0 if the service is healthy. Use this command as the
health check of a container, because the image has no curl.`,
		example: `  tidewaiter health
  HEALTHCHECK CMD ["/tidewaiter", "health", "--config", "/etc/tidewaiter/tidewaiter.yaml"]`,
		config: true,
		flags: func(f *flags) action {
			ready := f.Bool("ready", false, "check whether the service can answer requests (/readyz)")
			timeout := f.Duration("timeout", 5*time.Second, "give up after this `time`")
			return func(s *session) error {
				if err := loadConfig(s); err != nil {
					return err
				}
				path := "/healthz"
				if *ready {
					path = "/readyz"
				}
				ctx, cancel := context.WithTimeout(s.ctx, *timeout)
				defer cancel()
				text, err := requestHealth(ctx, s.cfg, path)
				if err != nil {
					return err
				}
				return s.print(nil, "%s", text)
			}
		},
	}
}

// requestHealth requests a path from the first listener that serves health. On a loopback address,
// it does not verify the listener's certificate, because the certificate is for other host names.
// An unverified certificate is safe here, because the request contains no secret.
func requestHealth(ctx context.Context, cfg *config.Config, path string) (_ string, err error) {
	at := slices.IndexFunc(cfg.Listen, func(l config.Listener) bool { return slices.Contains(l.Serve, config.ServeHealth) })
	if at < 0 {
		return "", fmt.Errorf("no listener in %s serves health", cfg.File)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("checking the health: %w", err)
		}
	}()
	l := cfg.Listen[at]
	address, loopback, err := reachableAddress(l.Address)
	if err != nil {
		return "", err
	}
	scheme := "http"
	if l.TLS != nil {
		scheme = "https"
	}
	client := &http.Client{
		Transport: &http.Transport{
			// The service is on this machine. So the field Proxy is not set, and proxies in the
			// environment are ignored.
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: loopback},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(body))
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the service answered %s: %q", answer.Status, text)
	}
	return text, nil
}

// reachableAddress returns the address at which this machine reaches a listener. It also reports
// whether this is a loopback address.
func reachableAddress(address string) (at string, loopback bool, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", false, err
	}
	if port == "0" || port == "" {
		return "", false, errors.New("the listener has no fixed port in the config")
	}
	ip, _ := netip.ParseAddr(host) // the zero Addr if the host is a name
	switch {
	case host == "" || ip == netip.IPv4Unspecified():
		return net.JoinHostPort("127.0.0.1", port), true, nil
	case ip == netip.IPv6Unspecified():
		return net.JoinHostPort("::1", port), true, nil
	}
	return address, endpoint.Local(host), nil
}
