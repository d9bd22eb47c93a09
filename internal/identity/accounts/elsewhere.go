package accounts

import (
	"context"
	"fmt"
)

// Elsewhere is what other sources say of a login.
type Elsewhere struct {
	Source    string   // that knows it, "htpasswd"; "": none does
	Advice    string   // what to do in place of adding an account, as a sentence; may be ""
	Unchecked []string // the sources that could not be asked, and why: "ldap:corp: connection refused"
}

// TakenError refuses a login that another source knows: rules would take the two for one. It is an ErrExists.
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

// Is makes it an ErrExists, too.
func (e *TakenError) Is(target error) bool { return target == ErrExists } //nolint:errorlint // as errors.Is wants it

// free is a TakenError if another source knows a login. It returns the sources that could not be asked: an outage
// of a directory does not keep an administrator from adding somebody.
func (a *Accounts) free(ctx context.Context, login string) (unchecked []string, err error) {
	if a.o.Elsewhere == nil {
		return nil, nil
	}
	found := a.o.Elsewhere(ctx, login)
	if found.Source != "" {
		return nil, &TakenError{found.Source, found.Advice}
	}
	for _, source := range found.Unchecked {
		a.o.Log.Warn("an account is added whose name another source may have", "login", login, "unchecked", source)
	}
	return found.Unchecked, nil
}
