package hook

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/identity/setting"
)

// Maximum sizes of the answer of a service, in bytes.
const (
	maxAnswer = 64 << 10
	maxHeader = 16 << 10
)

// webhook is a peer that is called over HTTPS.
type webhook struct {
	url    string
	bearer string // path of the file
	client *http.Client
}

func newWebhook(o Options, problems *setting.Problems) *webhook {
	wrong := func(field, format string, args ...any) { problems.Add(field, -1, format, args...) }
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		wrong("url", "not a URL such as https://auth.example.com/sign-in")
	case u.User != nil:
		wrong("url", "the URL contains a name or password; use bearer_file for a secret")
	case !endpoint.Safe(u):
		wrong("url", "passwords would travel unencrypted: use https://, or an address of this machine")
	}
	roots, err := endpoint.Roots(o.CA)
	if err != nil {
		wrong("ca", "%v", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if o.Certificate != "" || o.Key != "" {
		pair, err := tls.LoadX509KeyPair(o.Certificate, o.Key)
		if err != nil {
			wrong("certificate", "%v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	s := &webhook{url: o.URL, bearer: o.BearerFile}
	if o.BearerFile != "" {
		if _, err := endpoint.Bearer(s.bearer); err != nil {
			wrong("bearer_file", "%v", err)
		}
	}
	s.client = &http.Client{
		Transport: &http.Transport{ // no proxy, so that passwords reach only the service
			DialContext:            (&net.Dialer{Timeout: o.Timeout}).DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    o.Timeout,
			MaxConnsPerHost:        o.MaxConcurrent,
			MaxIdleConnsPerHost:    o.MaxConcurrent,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true, // so that maxAnswer applies to the bytes on the network
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

func (s *webhook) authenticate(ctx context.Context, q Question) (Answer, error) { return s.ask(ctx, q) }

func (s *webhook) find(ctx context.Context, q FindQuestion) (Answer, error) { return s.ask(ctx, q) }

// ask sends a question whose response is an Answer.
func (s *webhook) ask(ctx context.Context, q any) (Answer, error) {
	var a Answer
	if err := s.post(ctx, q, &a); err != nil {
		return Answer{}, err
	}
	if err := a.check(); err != nil {
		return Answer{}, err
	}
	return a, nil
}

func (s *webhook) decide(ctx context.Context, q DecisionQuestion) (a DecisionAnswer, err error) {
	err = s.post(ctx, q, &a)
	return a, err
}

// post sends one request and reads one response. Its errors contain no part of the request or
// the response.
func (s *webhook) post(ctx context.Context, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return errors.New("cannot encode the request as JSON")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("calling the service: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "tidewaiter")
	if s.bearer != "" {
		secret, err := endpoint.Bearer(s.bearer)
		if err != nil {
			return fmt.Errorf("reading the bearer file: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("calling the service: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the service answered with status %d", response.StatusCode)
	}
	text, err := endpoint.Read(response.Body, maxAnswer, "the answer")
	if err != nil {
		return err
	}
	return decode(text, answer)
}

// decode decodes one JSON object. Unknown fields are errors, so that a misspelt field is not
// ignored.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	d.UseNumber() // keeps large numbers exact
	if d.Decode(into) != nil {
		return errInvalidAnswer
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errInvalidAnswer
	}
	return nil
}
