// Package external answers who is asking, and what they may do, by asking something of the user's own: a
// service over HTTPS, or a program. So a product can build its registry into itself.
//
// A service gets JSON and answers JSON (Question, FindQuestion and Answer, DecisionQuestion and DecisionAnswer). A program gets a
// few words on its standard input and answers by its exit code, in the protocol of docker_auth's ext_auth
// and ext_authz.
//
// Both are bounded in time, in number and in what they may answer. After some failures in a row they are
// left alone for a while, so that nobody waits for what is down. What is down, slow, broken or unclear is an
// outage, and never a refusal or a grant. A password goes to the service in the body of a request, and to a program on
// its standard input: never into an argument, an environment, an error or a log.
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

// Options are the settings of an External. Name, and URL or Command, are needed.
type Options struct {
	Name    string   // principals bear it behind "external:"
	URL     string   // of a service; http for this machine alone
	Command []string // or a program, by its absolute path, with its arguments; no shell reads them

	Environment []string // names of variables that the program is given as we have them

	CA               string // PEM file: who signed the service's certificate; "": those of the system
	Certificate, Key string // PEM files to be known by; "": none
	BearerFile       string // a secret that is sent as Authorization: Bearer; read for each question

	Timeout       time.Duration // for one question, waiting for a turn included; 0: 5 s
	MaxConcurrent int           // questions at once; 0: 16
	Find          bool          // the service knows FindQuestion; a program cannot
	Groups        bool          // each accepted answer must have a list of groups: one without is incomplete
	Replace       bool          // Decide may grant what no rule allows; else it can only take away

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now

	// Sleep delays a refusal about which nobody was asked. nil: by a timer
	Sleep func(ctx context.Context, d time.Duration) error
}

// External is a service or a program that is asked. Its methods may be called from any goroutine.
type External struct {
	source  string // external:NAME
	peer    peer
	timeout time.Duration
	slots   chan struct{}
	breaker breaker
	refused identity.Durations // how long the last refusals took, waiting for a turn included
	log     *slog.Logger
	sleep   func(ctx context.Context, d time.Duration) error
	canFind bool
	groups  bool // each answer must have them
	replace bool
	rule    *policy.Rule   // which the journal names where it decided
	open    *policy.Policy // what there is to grant, if it may grant
}

// peer is a service or a program. Errors are outages, and bear nothing of what was asked or answered.
type peer interface {
	authenticate(ctx context.Context, q Question) (Answer, error)
	find(ctx context.Context, q FindQuestion) (Answer, error)
	decide(ctx context.Context, q DecisionQuestion) (DecisionAnswer, error)
}

// Problem is a mistake in Options.
type Problem struct {
	Field string // as the config calls it
	Text  string
}

// Problems is the error of New: all mistakes at once.
type Problems []Problem

// Error returns one line for each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = fmt.Sprintf("external: %s: %s", p.Field, p.Text)
	}
	return strings.Join(lines, "\n")
}

// New returns an External, or Problems. It asks nothing, and has nothing to close.
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
	e := &External{
		source: "external:" + o.Name, timeout: o.Timeout, slots: make(chan struct{}, o.MaxConcurrent), canFind: o.Find, groups: o.Groups, replace: o.Replace, sleep: o.Sleep,
	}
	e.log = o.Log.With("source", e.source)
	e.breaker = breaker{now: o.Now, log: e.log}
	e.rule = &policy.Rule{Name: e.source}
	var problems Problems
	if o.Name == "" {
		problems = append(problems, Problem{"name", "it is missing"})
	}
	switch {
	case (o.URL == "") == (len(o.Command) == 0):
		problems = append(problems, Problem{"url", "either url or command is wanted"})
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

// Authenticate asks about a name and a password. An empty password is never asked about, nor one that a
// program could read as another, nor a token in whatever wrapping.
func (e *External) Authenticate(ctx context.Context, c identity.Credentials) (identity.Verified, error) {
	if c.Kind != identity.Password {
		return identity.Verified{}, identity.ErrUnknown
	}
	secret := c.Secret.Reveal()
	if !mayAsk(c) {
		return identity.Verified{}, identity.Rejected("the service is not asked about such a password")
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
		return identity.Verified{}, identity.Rejected("the service rejected it")
	case answer.Answer == Unknown:
		e.refused.Note(time.Since(began))
		return identity.Verified{}, identity.ErrUnknown
	}
	if err := answer.checkGroups(e.groups); err != nil {
		e.log.Warn("refused: not all groups are known", "name", answer.Name, "because", err)
		return identity.Verified{}, err
	}
	return identity.Verified{Principal: answer.principal(e.source), Credential: "password", Generation: answer.Generation}, nil
}

// mayAsk says whether a name and a password may be asked about.
func mayAsk(c identity.Credentials) bool {
	secret := c.Secret.Reveal()
	return c.Name != "" && secret != "" && strings.IndexByte(secret, 0) < 0 && text.OneLine(c.Name)
}

// ask asks when it is its turn, within the time limit, unless the peer is left alone.
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

// errBusy means that there was no turn in time.
var errBusy = errors.New("too many questions at once")
