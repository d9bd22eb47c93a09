package rulebook_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/scope"
)

// kinds are all kinds of writes of the rulebook, by their names in the journal. Deleting a user is
// one of them, because it removes memberships.
var kinds = []string{
	"rule.add", "rule.set", "rule.delete", "role.add", "role.set", "role.delete",
	"namespace.add", "namespace.set", "namespace.delete", "namespace.member.set", "namespace.member.remove",
	"namespace.role.add", "namespace.role.set", "namespace.role.delete",
	"user.delete",
}

// runIfKilled reports whether this process is one of those that the test kills. If so, it runs a
// rulebook, and workers that change the rulebook until the process is killed.
func runIfKilled() bool {
	return storetest.Killed(3, func(ctx context.Context, db *store.DB) (func(storetest.Worker) error, error) {
		a, j, err := accountstest.Open(db)
		if err != nil {
			return nil, err
		}
		b, err := rulebook.New(rulebook.Options{DB: db, Journal: j, DeleteOwned: accounts.DeleteOwned}, file())
		if err != nil {
			return nil, err
		}
		b.SetWait(func(context.Context, time.Duration) error { return nil }) // no cooldown
		if err := b.Load(ctx); err != nil {
			return nil, err
		}
		return func(nth storetest.Worker) error {
			w := &worker{Worker: nth, Rulebook: b, accounts: a, by: admin.Operator(nth.Name)}
			switch w.N {
			case 1: // an actor whose rights depend on the policy
				w.by = actor(w.Name, admin.Administrators)
			case 2:
				return b.Run(ctx)
			}
			for i := 0; w.Err == nil; i++ {
				w.cycle(ctx, fmt.Sprintf("%s-%d", w.Name, i))
			}
			return w.Err
		}, nil
	})
}

// worker makes writes one after the other.
type worker struct {
	storetest.Worker
	*rulebook.Rulebook
	accounts *accounts.Accounts
	by       admin.Actor
}

// cycle makes every kind of write at least once. It leaves some objects for later cycles.
func (w *worker) cycle(ctx context.Context, name string) {
	team, guests, role := name+"-team", name+"-guests", name+"-role"
	rule := rulebook.Content{Name: name, Subjects: []string{"user:" + name}, Repositories: []string{name + "/**"}, Actions: []string{"pull"}, Lifetime: "1m0s"}
	w.Write("rule.add", func() error { return second(w.AddRule(ctx, w.by, rule)) })
	w.Write("role.add", func() error {
		return second(w.AddRole(ctx, w.by, "", rulebook.Role{Name: role, Actions: scope.Pull, Lifetime: time.Hour}))
	})
	rule.Name, rule.Role, rule.Actions, rule.Comment = name+" again", role, nil, "of "+name
	w.Write("rule.set", func() error { return second(w.SetRule(ctx, w.by, name, rule, 0)) })
	w.Write("role.set", func() error {
		return second(w.SetRole(ctx, w.by, "", rulebook.Role{Name: role, Actions: scope.Pull | scope.Delete}, 0))
	})
	w.Write("namespace.add", func() error {
		return second(w.AddNamespace(ctx, w.by, rulebook.NewNamespace{Name: team, Owners: []string{"user:" + name, "group:dev"}}))
	})
	w.Write("robot.add", func() error {
		_, _, err := w.accounts.AddRobot(ctx, w.by, accounts.NewRobot{Name: team + ".ci"})
		return err
	})
	w.Write("user.add", func() error { return second(w.accounts.AddUser(ctx, w.by, accounts.NewUser{Name: name})) })
	w.Write("namespace.add", func() error {
		return second(w.AddNamespace(ctx, w.by, rulebook.NewNamespace{Name: guests, Visibility: rulebook.Public}))
	})
	w.member(ctx, guests, "user:"+name, role)
	w.member(ctx, guests, "robot:"+team+".ci", rulebook.Writer)
	w.Write("namespace.role.add", func() error {
		return second(w.AddRole(ctx, w.by, team, rulebook.Role{Name: "cleaner", Actions: scope.Delete}))
	})
	w.member(ctx, team, "user:bob", "cleaner")
	w.Write("namespace.role.set", func() error {
		return second(w.SetRole(ctx, w.by, team, rulebook.Role{Name: "cleaner", Actions: scope.Repository, Lifetime: time.Hour}, 0))
	})
	w.member(ctx, team, "user:bob", rulebook.Reader)
	w.Write("namespace.role.delete", func() error { return w.DeleteRole(ctx, w.by, team, "cleaner", 0) })
	w.Write("namespace.member.remove", func() error { return second(w.RemoveMember(ctx, w.by, team, "user:bob", 0)) })
	w.Write("namespace.role.add", func() error {
		// This role is deleted with the namespace.
		return second(w.AddRole(ctx, w.by, team, rulebook.Role{Name: "reviewer", Actions: scope.Pull}))
	})
	w.Write("namespace.set", func() error { return second(w.SetVisibility(ctx, w.by, team, rulebook.Internal, 0)) })
	// The user and the robot of the namespace lose their memberships of the other namespace.
	w.Write("user.delete", func() error { return w.accounts.Delete(ctx, w.by, name, 0) })
	w.Write("namespace.delete", func() error { return w.DeleteNamespace(ctx, w.by, team, 0) })
	w.Write("rule.delete", func() error { return w.DeleteRule(ctx, w.by, rule.Name, 0) })
	w.Write("role.delete", func() error { return w.DeleteRole(ctx, w.by, "", role, 0) })

	w.Write("rule.add", func() error {
		return second(w.AddRule(ctx, w.by, rulebook.Content{Name: name, Effect: ruleset.Deny, Repositories: []string{name}, Actions: []string{"push"}}))
	})
	w.Write("namespace.add", func() error { // the new namespace inherits nothing
		return second(w.AddNamespace(ctx, w.by, rulebook.NewNamespace{Name: team, Owners: []string{"user:" + name}}))
	})
	w.member(ctx, team, "group:dev", rulebook.Writer)
}

func (w *worker) member(ctx context.Context, namespace, subject, role string) {
	w.Write("namespace.member.set", func() error { return second(w.SetMember(ctx, w.by, namespace, subject, role, 0)) })
}
