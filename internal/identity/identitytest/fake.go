package identitytest

import (
	"context"
	"crypto/subtle"
	"slices"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Fake is a source for tests. It has a few users, can fail, and records its calls.
type Fake struct {
	Name   string            // source of the principals; "": "fake"
	People map[string]string // name -> password
	Groups []string          // of each user

	// Generations maps a name to the generation of its password.
	Generations map[string]string

	mu      sync.Mutex
	down    error
	asked   []identity.Presented
	dummies []identity.Presented
}

// Fail makes later calls return err. After Fail(nil), the source works again.
func (f *Fake) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = err
}

// Asked returns the credentials passed to Authenticate, in order.
func (f *Fake) Asked() []identity.Presented {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// Dummies returns the credentials passed to Dummy, in order.
func (f *Fake) Dummies() []identity.Presented {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.dummies)
}

// Authenticate accepts the users with their passwords.
func (f *Fake) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
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

// Dummy only records the call.
func (f *Fake) Dummy(ctx context.Context, c identity.Presented) error {
	return f.note(ctx, &f.dummies, c)
}

// Find returns the users.
func (f *Fake) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	if err := f.note(ctx, nil, identity.Presented{}); err != nil {
		return nil, err
	}
	if _, ok := f.People[name]; !ok || id != "" && id != "id of "+name {
		return nil, identity.ErrUnknown
	}
	return f.principal(name), nil
}

// FindGeneration is like Find, and also returns the generation.
func (f *Fake) FindGeneration(ctx context.Context, name, id string) (*policy.Principal, string, error) {
	p, err := f.Find(ctx, name, id)
	if err != nil {
		return nil, "", err
	}
	return p, f.Generations[name], nil
}

// note records c in the list. note returns the error that Fail set, or the error of a cancelled
// context.
func (f *Fake) note(ctx context.Context, list *[]identity.Presented, c identity.Presented) error {
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
