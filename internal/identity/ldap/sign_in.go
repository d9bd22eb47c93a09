package ldap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// authenticate asks the directory itself.
func (d *Directory) authenticate(ctx context.Context, name, secret string) (*policy.Principal, error) {
	if d.o.User.DN != "" && d.o.BindDN == "" {
		return d.bindFirst(ctx, name, secret)
	}
	var u *user
	if err := d.ask(ctx, reader, func(c *conn) (err error) {
		u, err = d.find(c, name)
		return err
	}); err != nil {
		return nil, err
	}
	began := time.Now()
	err := d.ask(ctx, binder, func(c *conn) error { return c.bind(u.entry.DN, secret) })
	if err == nil || errors.Is(err, identity.ErrRejected) {
		d.pace.note(time.Since(began))
	}
	if err != nil {
		return nil, err
	}
	return d.admit(ctx, u)
}

// bindFirst binds as whom the template names, and lets him read his own entry and groups.
func (d *Directory) bindFirst(ctx context.Context, name, secret string) (who *policy.Principal, err error) {
	err = d.ask(ctx, binder, func(c *conn) error {
		if err := c.bind(d.dnOf(name), secret); err != nil {
			return err
		}
		u, err := d.find(c, name)
		if errors.Is(err, identity.ErrUnknown) {
			return fmt.Errorf("reading %s as itself: %w", d.dnOf(name), errUnreadable)
		}
		if err != nil {
			return err
		}
		who, err = d.principal(c, u)
		return err
	})
	return who, err
}

// errUnreadable means that somebody may bind, and not read his own entry.
var errUnreadable = errors.New("the directory does not show it: let people read their own entries, or set a service account")

// admit makes the principal of somebody who is known to be u.
func (d *Directory) admit(ctx context.Context, u *user) (who *policy.Principal, err error) {
	if d.o.Groups.none() {
		return d.principal(nil, u)
	}
	err = d.ask(ctx, reader, func(c *conn) (err error) {
		who, err = d.principal(c, u)
		return err
	})
	return who, err
}

// free is ErrRejected if a name belongs to another source: with a local alice, the directory's alice must not
// become her by typing ALICE, or her address.
func (d *Directory) free(ctx context.Context, name string) error {
	if d.o.Taken == nil {
		return nil
	}
	taken, err := d.o.Taken(ctx, name)
	switch {
	case err != nil:
		return fmt.Errorf("looking whose name %q is: %w", name, err)
	case taken:
		d.log.Warn("refused: the name belongs to another source", "name", name)
		return identity.ErrRejected
	}
	return nil
}

// linger lets a name that nobody has take as long as a wrong password.
func (d *Directory) linger(ctx context.Context, err error) error {
	if !errors.Is(err, identity.ErrUnknown) {
		return err
	}
	if wait := d.pace.pick(); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}
