package identitytest

import (
	"context"
	"crypto/subtle"
	"slices"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Fake is a source for tests: it knows a few people, can be down, and remembers what it was asked.
type Fake struct {
	Name   string            // as principals bear it; "": "fake"
	People map[string]string // name -> password
	Groups []string          // of everybody

	Generations map[string]string // name -> of which generation the password is; none: it cannot tell

	mu      sync.Mutex
	down    error
	asked   []identity.Credentials
	dummies []identity.Credentials
}

// Fail lets each later call fail with err; nil mends it.
func (f *Fake) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = err
}

// Asked returns what Authenticate was shown, in order.
func (f *Fake) Asked() []identity.Credentials {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// Dummies returns what Dummy was shown, in order.
func (f *Fake) Dummies() []identity.Credentials {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.dummies)
}

// Authenticate accepts the people with their passwords.
func (f *Fake) Authenticate(ctx context.Context, c identity.Credentials) (identity.Verified, error) {
	if err := f.note(ctx, &f.asked, c); err != nil {
		return identity.Verified{}, err
	}
	password, ok := f.People[c.Name]
	if !ok || c.Kind != identity.Password {
		return identity.Verified{}, identity.ErrUnknown
	}
	if c.Secret.Reveal() == "" || subtle.ConstantTimeCompare([]byte(password), []byte(c.Secret.Reveal())) != 1 {
		return identity.Verified{}, identity.ErrRejected
	}
	return identity.Verified{Principal: f.principal(c.Name), Credential: "password", Generation: f.Generations[c.Name]}, nil
}

// Dummy spends no time, but is remembered.
func (f *Fake) Dummy(ctx context.Context, c identity.Credentials) error {
	return f.note(ctx, &f.dummies, c)
}

// Find finds the people.
func (f *Fake) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	if err := f.note(ctx, nil, identity.Credentials{}); err != nil {
		return nil, err
	}
	if _, ok := f.People[name]; !ok || id != "" && id != "id of "+name {
		return nil, identity.ErrUnknown
	}
	return f.principal(name), nil
}

// FindGeneration is Find, and says what Generations does.
func (f *Fake) FindGeneration(ctx context.Context, name, id string) (*policy.Principal, string, error) {
	p, err := f.Find(ctx, name, id)
	if err != nil {
		return nil, "", err
	}
	return p, f.Generations[name], nil
}

// note keeps c in list, and says whether the source can answer.
func (f *Fake) note(ctx context.Context, list *[]identity.Credentials, c identity.Credentials) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if list != nil {
		*list = append(*list, c)
	}
	if f.down != nil {
		return f.down
	}
	return ctx.Err()
}

func (f *Fake) principal(name string) *policy.Principal {
	source := f.Name
	if source == "" {
		source = "fake"
	}
	return &policy.Principal{Kind: policy.User, Name: name, Source: source, ID: "id of " + name, Groups: f.Groups}
}
