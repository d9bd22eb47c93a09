package accounts_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
)

// A change that would lock everybody out fails and stores nothing. An operator can force it.
func TestTheLastAdministratorStays(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("root", accounts.Administrators)
		h.user("resting", accounts.Administrators)
		h.user("ending", accounts.Administrators)
		h.user("ann")
		_, err := h.Disable(ctx, operator, "resting", 0)
		_, err2 := h.SetExpiry(ctx, operator, "ending", h.clock.Now().Add(time.Hour), 0)
		is(t, "two that do not count", errors.Join(err, err2), nil)
		root := h.as(shown("root", secretOf("root")))
		ways := map[string]func(by accounts.Actor) error{
			"disable": func(by accounts.Actor) error { _, err := h.Disable(ctx, by, "root", 0); return err },
			"expire": func(by accounts.Actor) error {
				_, err := h.SetExpiry(ctx, by, "root", h.clock.Now().Add(time.Hour), 0)
				return err
			},
			"leave": func(by accounts.Actor) error {
				_, err := h.Leave(ctx, by, accounts.Administrators, "root", 0)
				return err
			},
			"group":  func(by accounts.Actor) error { return h.DeleteGroup(ctx, by, accounts.Administrators, 0) },
			"delete": func(by accounts.Actor) error { return h.Delete(ctx, by, "root", 0) },
		}
		before, entries := h.rows(), len(h.changes())
		for what, do := range ways {
			is(t, what+" as an operator", do(operator), accounts.ErrLast)
			is(t, what+" as root", do(root), accounts.ErrLast)
			is(t, what+" as root", do(root), accounts.ErrForbidden)
			is(t, what+" as root, forcing", do(root.WithForce()), accounts.ErrLast)
		}
		if diff := cmp.Diff(before, h.rows()); diff != "" || len(h.changes()) != entries {
			t.Errorf("something of it was kept (-before +after):\n%s", diff)
		}
		is(t, "somebody else", h.Delete(ctx, operator, "ann", 0), nil)
		is(t, "one that does not count", h.Delete(ctx, operator, "resting", 0), nil)

		_, err = h.Enable(ctx, operator, "ending", 0) // does not change its expiry
		is(t, "enabling", err, nil)
		is(t, "the last for good", ways["delete"](operator), accounts.ErrLast)
		h.user("second", accounts.Administrators)
		is(t, "one of two", ways["delete"](operator), nil)
		is(t, "the last, by an operator who means it", h.Delete(ctx, operator.WithForce(), "second", 0), nil)
		h.user("bob")
		is(t, "without an administrator", h.Delete(ctx, operator, "bob", 0), nil)
	})
}

// Two concurrent changes cannot each remove one of the last two administrators.
func TestTheLastTwoAdministratorsDoNotGoTogether(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("ann", accounts.Administrators)
		h.user("bob", accounts.Administrators)
		var both sync.WaitGroup
		var gone atomic.Int32
		for _, name := range []string{"ann", "bob"} {
			both.Go(func() {
				switch err := h.Delete(context.Background(), operator, name, 0); {
				case err == nil:
					gone.Add(1)
				case !errors.Is(err, accounts.ErrLast):
					t.Error(err)
				}
			})
		}
		both.Wait()
		if gone.Load() != 1 {
			t.Errorf("%d of two administrators are gone, want 1", gone.Load())
		}
	})
}

func TestNamesAreComparedWithUsers(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("ann")
		h.user("bob")
		h.robot("ci")
		names := []string{"bob", "nobody", "ci", "Ann", "ann"}
		for range 600 {
			names = append(names, "x")
		}
		known, err := h.Users(t.Context(), operator, names)
		if diff := cmp.Diff([]string{"ann", "bob"}, known); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		_, err = h.Users(t.Context(), accounts.Actor{}, names)
		is(t, "who may see none", err, accounts.ErrForbidden)
	})
}
