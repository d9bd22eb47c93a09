// Package external authenticates users, and restricts or replaces decisions, by calling an
// HTTPS service or a program that the operator provides. It lets a product integrate the
// registry with its own accounts.
//
// A service receives and returns JSON (Question, FindQuestion and Answer; DecisionQuestion and
// DecisionAnswer). A program reads a line or JSON from standard input and answers with its exit
// code, as docker_auth's ext_auth and ext_authz do.
//
// Time, concurrency and the size of answers are bounded. After consecutive failures the peer is
// not called for a while, so that no request waits for it. A peer that is down, slow, broken or
// unclear is an outage, never a refusal or a grant. A password is sent to a service in the
// request body and to a program on standard input, never in an argument, an environment
// variable, an error or a log.
package external

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options are the settings of an External. Name, and either URL or Command, are required.
type Options struct {
	Name    string   // the source of principals is "webhook:" + Name, or "exec:" + Name for a program
	URL     string   // of a service; http only for this machine
	Command []string // absolute path of a program and its arguments; no shell

	Environment []string // names of environment variables to pass to the program

	CA               string // PEM file of the certificate authorities; "": those of the system
	Certificate, Key string // PEM files of the client certificate; "": none
	BearerFile       string // file with the bearer token to send; read for each request

	Timeout       time.Duration // for one request, with the wait for a slot; 0: 5 s
	MaxConcurrent int           // concurrent requests; 0: 16
	Find          bool          // the service supports FindQuestion; programs do not
	Groups        bool          // answers without a list of groups are incomplete
	Replace       bool          // Decide may grant more than the rules; otherwise it only restricts

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now

	// Sleep delays a refusal for which the peer was not called; nil: identity.Sleep.
	Sleep func(ctx context.Context, d time.Duration) error
}

// External calls a service or a program. Its methods may be called from any goroutine.
type External struct {
	source  string // "webhook:NAME" or "exec:NAME"
	peer    peer
	timeout time.Duration
	slots   chan struct{}
	breaker breaker
	refused identity.Durations // durations of recent refusals, with the wait for a slot
	log     *slog.Logger
	sleep   func(ctx context.Context, d time.Duration) error
	canFind bool
	groups  bool // answers must have groups
	replace bool
	rule    *policy.Rule   // rule that the journal names for its decisions
	open    *policy.Policy // grants everything; used with replace
}

// peer is a service or a program. All errors are outages. They contain nothing of the request
// or the answer.
type peer interface {
	authenticate(ctx context.Context, q Question) (Answer, error)
	find(ctx context.Context, q FindQuestion) (Answer, error)
	decide(ctx context.Context, q DecisionQuestion) (DecisionAnswer, error)
}

// Problem is one error in Options.
type Problem struct {
	Field string // config key
	Text  string
}

// Problems is the error of New. It lists all errors.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = fmt.Sprintf("%s: %s", p.Field, p.Text)
	}
	return strings.Join(lines, "\n")
}

// New returns an External. Its error is of type Problems. New does not call the peer, and an
// External needs no Close.
func New(o Options) (*External, error) {
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
		o.Sleep = identity.Sleep
	}
	source := identity.WebhookPrefix + o.Name
	if len(o.Command) > 0 {
		source = identity.ExecPrefix + o.Name
	}
	e := &External{
		source: source, timeout: o.Timeout, slots: make(chan struct{}, o.MaxConcurrent), canFind: o.Find, groups: o.Groups, replace: o.Replace, sleep: o.Sleep,
	}
	e.log = o.Log.With("source", e.source)
	e.breaker = breaker{now: o.Now, log: e.log}
	e.rule = &policy.Rule{Name: e.source}
	var problems Problems
	if o.Name == "" {
		problems = append(problems, Problem{"name", "missing"})
	}
	switch {
	case (o.URL == "") == (len(o.Command) == 0):
		problems = append(problems, Problem{"url", "set either url or command"})
	case o.URL != "":
		s, wrong := newService(o)
		e.peer, problems = s, append(problems, wrong...)
	default:
		p, wrong := newProgram(o)
		e.peer, problems = p, append(problems, wrong...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	var err error
	if e.open, err = grantAll(e.rule.Name); err != nil {
		return nil, err
	}
	return e, nil
}

// Authenticate asks the peer about a name and a password. It never sends an empty password, a
// password that a program could misread, or a token.
func (e *External) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
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
	err := e.ask(ctx, func(ctx context.Context) (err error) {
		answer, err = e.peer.authenticate(ctx, q)
		return err
	})
	switch {
	case err != nil:
		return identity.Verified{}, err
	case answer.Answer == Rejected:
		e.refused.Note(time.Since(began))
		return identity.Verified{}, identity.Rejected("the service rejected the password")
	case answer.Answer == Unknown:
		e.refused.Note(time.Since(began))
		return identity.Verified{}, identity.ErrUnknown
	}
	if err := answer.checkGroups(e.groups); err != nil {
		e.log.Warn("refused: not all groups are known", "name", answer.Name, "reason", err)
		return identity.Verified{}, err
	}
	return identity.Verified{Principal: answer.principal(e.source), Credential: "password", Generation: answer.Generation}, nil
}

// mayAsk reports whether the peer may be asked about these credentials.
func mayAsk(c identity.Presented) bool {
	secret := c.Secret.Reveal()
	return c.Name != "" && secret != "" && strings.IndexByte(secret, 0) < 0 && text.OneLine(c.Name)
}

// ask calls question when a slot is free, within the time limit, unless the circuit breaker is
// open.
func (e *External) ask(ctx context.Context, question func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	within, done := context.WithTimeout(ctx, e.timeout)
	defer done()
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-within.Done():
		if err := ctx.Err(); err != nil {
			return err
		}
		return errBusy
	}
	if err := e.breaker.allow(); err != nil {
		return err
	}
	err := question(within)
	if gone := ctx.Err(); err != nil && gone != nil {
		e.breaker.abandoned()
		return gone
	}
	e.breaker.ended(err)
	return err
}

// errBusy means that no slot became free in time.
var errBusy = errors.New("too many concurrent requests")
