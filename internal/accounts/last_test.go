package accounts_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
)

// A change that would lock everybody out fails and stores nothing. An operator can force it.
func TestLastAdministratorStays(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.AddTestUser("root", admin.Administrators)
		h.AddTestUser("resting", admin.Administrators)
		h.AddTestUser("ending", admin.Administrators)
		h.AddTestUser("ann")
		_, err := h.Disable(ctx, operator, "resting", 0)
		_, err2 := h.SetExpiry(ctx, operator, "ending", h.Clock.Now().Add(time.Hour), 0)
		is(t, "disabling one administrator and setting the expiry of another", errors.Join(err, err2), nil)
		root := h.ActorOf(presented("root", passwordOf("root")))
		ways := map[string]func(by admin.Actor) error{
			"disable": func(by admin.Actor) error { _, err := h.Disable(ctx, by, "root", 0); return err },
			"expire": func(by admin.Actor) error {
				_, err := h.SetExpiry(ctx, by, "root", h.Clock.Now().Add(time.Hour), 0)
				return err
			},
			"leave": func(by admin.Actor) error {
				_, err := h.Leave(ctx, by, admin.Administrators, "root", 0)
				return err
			},
			"group":  func(by admin.Actor) error { return h.DeleteGroup(ctx, by, admin.Administrators, 0) },
			"delete": func(by admin.Actor) error { return h.Delete(ctx, by, "root", 0) },
		}
		before, entries := h.Rows(), len(h.Changes())
		for what, do := range ways {
			is(t, what+" as an operator", do(operator), accounts.ErrLast)
			is(t, what+" as root", do(root), accounts.ErrLast)
			is(t, what+" as root", do(root), admin.ErrForbidden)
			is(t, what+" as root, with force", do(root.WithForce()), accounts.ErrLast)
		}
		if diff := cmp.Diff(before, h.Rows()); diff != "" || len(h.Changes()) != entries {
			t.Errorf("a refused change left traces (-before +after):\n%s", diff)
		}
		is(t, "deleting a user who is not an administrator", h.Delete(ctx, operator, "ann", 0), nil)
		is(t, "deleting a disabled administrator", h.Delete(ctx, operator, "resting", 0), nil)

		_, err = h.Enable(ctx, operator, "ending", 0) // does not change the account's expiry
		is(t, "enabling", err, nil)
		is(t, "deleting the last administrator without an expiry", ways["delete"](operator), accounts.ErrLast)
		h.AddTestUser("second", admin.Administrators)
		is(t, "deleting one of two administrators", ways["delete"](operator), nil)
		is(t, "deleting the last administrator, by an operator with force", h.Delete(ctx, operator.WithForce(), "second", 0), nil)
		h.AddTestUser("bob")
		is(t, "deleting a user while there is no administrator", h.Delete(ctx, operator, "bob", 0), nil)
	})
}

// Two concurrent changes cannot each remove one of the last two administrators.
func TestLastTwoAdministratorsAreNotRemovedTogether(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		h.AddTestUser("ann", admin.Administrators)
		h.AddTestUser("bob", admin.Administrators)
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
			t.Errorf("%d of two administrators were removed, want 1", gone.Load())
		}
	})
}

func TestUsersReturnsTheKnownNames(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		h.AddTestUser("ann")
		h.AddTestUser("bob")
		h.AddTestRobot("ci")
		names := []string{"bob", "nobody", "ci", "Ann", "ann"}
		for range 600 {
			names = append(names, "x")
		}
		known, err := h.Users(t.Context(), operator, names)
		if diff := cmp.Diff([]string{"ann", "bob"}, known); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		_, err = h.Users(t.Context(), admin.Actor{}, names)
		is(t, "an actor without rights", err, admin.ErrForbidden)
	})
}
