// Package hook calls an HTTPS service or a program of the operator to authenticate users, and to
// restrict or replace decisions. So a product can use its own accounts for the registry.
//
// A service receives and returns JSON (Question, FindQuestion and Answer; DecisionQuestion and
// DecisionAnswer). A program reads a line or JSON from standard input and answers with its exit
// code, as docker_auth's ext_auth and ext_authz do.
//
// Time, concurrency and the size of answers are limited. After several failures in a row, the peer
// is not called for a while, so that no request waits for it. If the peer is down, slow or broken,
// or its answer is unclear, the result is an outage, never a refusal or a grant. A password is
// sent to a service in the request body and to a program on standard input, never in an argument,
// an environment variable, an error or a log.
package hook

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/setting"
	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options are the settings of a Hook. Name, and either URL or Command, are required.
type Options struct {
	Name    string   // source of principals: "webhook:" + Name, or "exec:" + Name for a program
	URL     string   // URL of a service; http:// only for a service on this machine
	Command []string // absolute path of a program and its arguments; no shell

	Environment []string // names of environment variables to pass to the program

	CA               string // PEM file of the certificate authorities; "": those of the system
	Certificate, Key string // PEM files of the client certificate; "": none
	BearerFile       string // file with the bearer token to send; read for each request

	Timeout       time.Duration // time limit of a request, including the wait for a slot; 0: 5 s
	MaxConcurrent int           // concurrent requests; 0: 16
	Find          bool          // the service supports FindQuestion; programs do not
	Groups        bool          // answers without a list of groups are incomplete
	Replace       bool          // Decide may grant more than the rules; otherwise it only restricts

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now

	// Sleep delays a refusal for which the peer was not called; nil: clock.Sleep.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Hook calls a service or a program. Its methods may be called from any goroutine.
type Hook struct {
	o       Options
	source  string // "webhook:NAME" or "exec:NAME"
	peer    peer
	slots   chan struct{}
	breaker breaker
	refused clock.Durations // durations of recent refusals, including the wait for a slot
	log     *slog.Logger
	rule    *policy.Rule   // rule that the journal names for the Hook's decisions
	open    *policy.Policy // grants everything; used with Replace
}

// peer is a service or a program. All errors are outages. They contain no part of the request or
// of the answer.
type peer interface {
	authenticate(ctx context.Context, q Question) (Answer, error)
	find(ctx context.Context, q FindQuestion) (Answer, error)
	decide(ctx context.Context, q DecisionQuestion) (DecisionAnswer, error)
}

// New returns a Hook. The error is setting.Problems with all problems. New does not call the peer,
// and a Hook needs no Close.
func New(o Options) (*Hook, error) {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = 16
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Now = clock.Wall(o.Now)
	if o.Sleep == nil {
		o.Sleep = clock.Sleep
	}
	h := &Hook{o: o, slots: make(chan struct{}, o.MaxConcurrent)}
	var problems setting.Problems
	if len(o.Command) > 0 {
		h.source, h.peer = sourcename.ExecPrefix+o.Name, newProgram(o, &problems)
	} else {
		h.source, h.peer = sourcename.WebhookPrefix+o.Name, newWebhook(o, &problems)
	}
	h.log = o.Log.With("source", h.source)
	h.breaker = breaker{now: o.Now, log: h.log}
	h.rule = &policy.Rule{Name: h.source}
	if len(problems) > 0 {
		return nil, problems
	}
	var err error
	if h.open, err = grantAll(h.rule.Name); err != nil {
		return nil, err
	}
	return h, nil
}

// Authenticate asks the peer about a name and a password. It never sends an empty password, a
// password that a program could misread, or a token.
func (h *Hook) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	if c.Kind != identity.Password {
		return identity.Verified{}, identity.ErrUnknown
	}
	secret := c.Secret.Reveal()
	if !mayAsk(c) {
		return identity.Verified{}, identity.Rejected("the service is not asked about empty passwords or passwords with a NUL")
	}
	if err := c.CheckPassword(); err != nil {
		return identity.Verified{}, err
	}
	q := Question{Name: c.Name, Password: secret, Registry: c.Registry, Client: c.Client}
	if c.Remote.IsValid() {
		q.Address = c.Remote.String()
	}
	var answer Answer
	began := time.Now()
	err := h.ask(ctx, func(ctx context.Context) (err error) {
		answer, err = h.peer.authenticate(ctx, q)
		return err
	})
	switch {
	case err != nil:
		return identity.Verified{}, err
	case answer.Answer == Rejected:
		h.refused.Note(time.Since(began))
		return identity.Verified{}, identity.Rejected("the service rejected the password")
	case answer.Answer == Unknown:
		h.refused.Note(time.Since(began))
		return identity.Verified{}, identity.ErrUnknown
	}
	if err := answer.checkGroups(h.o.Groups); err != nil {
		h.log.Warn("refused: not all groups are known", "name", answer.Name, "reason", err)
		return identity.Verified{}, err
	}
	return identity.Verified{Principal: answer.principal(h.source), Credential: "password", Generation: answer.Generation}, nil
}

// mayAsk reports whether these credentials may be sent to the peer.
func mayAsk(c identity.Presented) bool {
	secret := c.Secret.Reveal()
	return c.Name != "" && secret != "" && strings.IndexByte(secret, 0) < 0 && text.OneLine(c.Name)
}

// ask waits for a free slot and then calls the function question, both within the time limit. If
// the circuit breaker is open, ask returns an error instead.
func (h *Hook) ask(ctx context.Context, question func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	within, done := context.WithTimeout(ctx, h.o.Timeout)
	defer done()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-within.Done():
		if err := ctx.Err(); err != nil {
			return err
		}
		return errBusy
	}
	if err := h.breaker.allow(); err != nil {
		return err
	}
	err := question(within)
	if gone := ctx.Err(); err != nil && gone != nil {
		h.breaker.recordAbandoned()
		return gone
	}
	h.breaker.recordResult(err)
	return err
}

// errBusy means that no slot became free in time.
var errBusy = errors.New("too many concurrent requests")

// DummyLookup takes the same time as a recent refusal. The chain calls it for passwords that an
// earlier source refused. It does not call the peer, because the protocol has no question about a
// name without the password.
func (h *Hook) DummyLookup(ctx context.Context, c identity.Presented) error {
	if c.Kind != identity.Password || !mayAsk(c) {
		return nil
	}
	return h.o.Sleep(ctx, min(h.refused.Draw(rand.IntN), h.o.Timeout))
}
