package delivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/delivery/signature"
	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

const (
	sendTimeout = 15 * time.Second
	// drained is how much of a response's body is read. A connection is used again only if the
	// body was read to its end.
	drained    = 4 << 10
	maxHeader  = 16 << 10
	maxProblem = 300 // bytes
)

// result is the result of an attempt to send a message.
type result struct {
	status     int           // HTTP status of the response; 0: no response
	problem    string        // why the message was not accepted; "": it was accepted
	gone       bool          // the endpoint asks for no more messages
	retryAfter time.Duration // how long the endpoint asks to wait; 0: unknown
}

// newTransport returns the transport of a webhook. It uses no proxy, because a proxy would connect
// to addresses that were not checked.
func newTransport(w *Webhook) (http.RoundTripper, error) {
	roots, err := endpoint.Roots(w.CA)
	if err != nil {
		return nil, err
	}
	dialer := &endpoint.Dialer{Private: w.Private, Setting: "private_addresses: true for the webhook"}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    sendTimeout,
		MaxConnsPerHost:        2, // one for a test while another message is sent
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}, nil
}

// send sends one message. The errors in its result do not contain the path of the URL, because
// the path may be a secret.
func (w *worker) send(ctx context.Context, id string, body []byte) result {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return result{problem: "the URL is invalid"}
	}
	sent := w.d.o.Now()
	signatures := make([]string, len(w.Keys))
	for i, k := range w.Keys {
		signatures[i] = k.Sign(id, sent, body)
	}
	r.Header = http.Header{
		"Content-Type":      {"application/cloudevents+json"},
		"User-Agent":        {"tidewaiter"},
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {signature.Timestamp(sent)},
		"Webhook-Signature": {strings.Join(signatures, " ")},
	}
	client := http.Client{
		Transport:     w.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	if err != nil {
		return result{problem: sendProblem(err)}
	}
	_, _ = io.CopyN(io.Discard, response.Body, drained)
	_ = response.Body.Close()
	return resultOf(response)
}

func resultOf(r *http.Response) result {
	out := result{status: r.StatusCode}
	switch {
	case r.StatusCode >= 200 && r.StatusCode <= 299:
		return out
	case r.StatusCode >= 300 && r.StatusCode <= 399:
		out.problem = fmt.Sprintf("the endpoint answered with a redirect (%d), which is not followed; set url to the address that the redirect names", r.StatusCode)
	default:
		out.problem = fmt.Sprintf("the endpoint answered with status %d", r.StatusCode)
	}
	out.gone = r.StatusCode == http.StatusGone
	if r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusServiceUnavailable {
		if seconds, err := strconv.ParseUint(r.Header.Get("Retry-After"), 10, 32); err == nil {
			out.retryAfter = min(time.Duration(seconds)*time.Second, maxDelay)
		}
	}
	return out
}

// sendProblem describes an error without the URL.
func sendProblem(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("the endpoint did not answer within %s", text.Duration(sendTimeout))
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return text.Shorten(text.Escape(err.Error()), maxProblem)
}
