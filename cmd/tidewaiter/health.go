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

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/config"
)

func newHealth() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check the health of the service on this machine",
		Long: `Check the health of the service that runs on this machine with this config: GET /healthz, or /readyz
with --ready. Exits 0 if it is healthy. Use it as the health check of a container, which has no curl.`,
		Example: `  tidewaiter health
  HEALTHCHECK CMD ["/tidewaiter", "health", "--config", "/etc/tidewaiter/tidewaiter.yaml"]`,
	}
	source := configFlags(cmd)
	ready := cmd.Flags().Bool("ready", false, "check whether it can answer requests (/readyz)")
	timeout := cmd.Flags().Duration("timeout", 5*time.Second, "give up after this `time`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := source.load()
		if err != nil {
			return err
		}
		path := "/healthz"
		if *ready {
			path = "/readyz"
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		text, err := askHealth(ctx, cfg, path)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), text)
		return nil
	}
	return cmd
}

// askHealth requests a path from the first listener that serves health. On a loopback address it does
// not verify the certificate: the certificate names other hosts, and the request has no secret.
func askHealth(ctx context.Context, cfg *config.Config, path string) (string, error) {
	at := slices.IndexFunc(cfg.Listen, func(l config.Listener) bool { return slices.Contains(l.Serve, config.FaceHealth) })
	if at < 0 {
		return "", fmt.Errorf("no listener in %s serves health", cfg.File)
	}
	l := cfg.Listen[at]
	address, own, err := reach(l.Address)
	if err != nil {
		return "", err
	}
	scheme := "http"
	if l.TLS != nil {
		scheme = "https"
	}
	client := &http.Client{
		Transport: &http.Transport{
			Proxy:             nil, // ignore proxies in the environment: the service is on this machine
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: own},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+path, nil)
	if err != nil {
		return "", fmt.Errorf("asking for health: %w", err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("asking for health: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err != nil {
		return "", fmt.Errorf("asking for health: %w", err)
	}
	text := strings.TrimSpace(string(body))
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the service is not healthy: %s: %q", answer.Status, text)
	}
	return text, nil
}

// reach returns the address of a listener as seen from this machine, and whether it is loopback.
func reach(address string) (at string, own bool, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", false, fmt.Errorf("asking for health: %w", err)
	}
	if port == "0" || port == "" {
		return "", false, errors.New("asking for health: the listener has no fixed port in the config")
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && ip == netip.IPv4Unspecified():
		return net.JoinHostPort("127.0.0.1", port), true, nil
	case err == nil && ip == netip.IPv6Unspecified():
		return net.JoinHostPort("::1", port), true, nil
	case host == "localhost" || err == nil && ip.IsLoopback():
		return address, true, nil
	}
	return address, false, nil
}
