package accounts

import (
	"context"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

// Elsewhere is the result of looking up a login in the other sources.
type Elsewhere struct {
	Source    string   // the source that knows the login, such as "htpasswd"; "" if none does
	Advice    string   // a sentence about what to do instead of adding an account; may be ""
	Unchecked []string // unavailable sources, each with the reason: "ldap:corp: connection refused"
}

// TakenError reports that another source knows a login. If an account had the same login, rules
// could not distinguish the two principals. TakenError matches ErrExists.
type TakenError struct {
	Source string // "htpasswd"
	Advice string // what to do instead; may be ""
}

func (e *TakenError) Error() string {
	text := fmt.Sprintf("the source %s has this name already, and rules would apply to both", e.Source)
	if e.Advice != "" {
		text += ": " + e.Advice
	}
	return text
}

// Is reports whether target is ErrExists.
func (e *TakenError) Is(target error) bool { //nolint:errorlint // errors.Is requires it
	return target == admin.ErrExists
}

// checkOtherSources returns a TakenError if another source knows a login. It also returns the
// sources that are unavailable. An unavailable source is no error, because an administrator must
// be able to add an account during an outage of a directory.
func (a *Accounts) checkOtherSources(ctx context.Context, login string) (unchecked []string, err error) {
	if a.o.Elsewhere == nil {
		return nil, nil
	}
	found := a.o.Elsewhere(ctx, login)
	if found.Source != "" {
		return nil, &TakenError{found.Source, found.Advice}
	}
	for _, source := range found.Unchecked {
		a.o.Log.Warn("adding an account whose name another source may have", "login", login, "unchecked", source)
	}
	return found.Unchecked, nil
}
