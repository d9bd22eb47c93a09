// Package rulebook manages the rules in force and the rights to change them.
//
// Roles and rules are written in files, for teams that keep them in Git, and in the database, by
// the command line and the API. Namespaces, which teams own, are only in the database. All of
// them are compiled into one policy, in which a deny rule overrides every allow rule. Each rule
// has its origin (policy.Origin).
//
//	file rules       tidewaiter.yaml and its policy files: package config
//	database rules   AddRule and similar methods, for actors with the right policy
//	namespaces       AddNamespace, SetMember and similar methods, for the owners of a namespace
//
// The names of rules are unique over files and database, and so are the names of roles.
//
// # The last valid policy
//
// A Rulebook holds the policy in force. A rule that does not compile is refused before it is
// stored, and the refusal lists every error with its field. So the database has no rule that is
// invalid by itself. However, a file and the database can come into conflict. For example, both
// have a rule of the same name, or a rule in the database names a role that was removed from a
// file. Then the policy in force stays, and Status reports the conflict. When a change of the
// file or of the database resolves the conflict, the new policy comes into force without a
// restart.
//
// There is never a policy without the database's rules, because a deny rule in the database must
// not be lost when the database is unavailable. Load fails if the database cannot be read. Later,
// the rules that were read last stay in force.
//
// # Namespaces
//
// The namespace "team" is all repositories below team/, and "shop/web" is all repositories
// below shop/web/. Namespaces do not overlap, because no namespace can be added inside another
// one or around one. So each repository has the owners of at most one namespace. Members are
// users, groups, robots and workloads, each with a role:
//
//	owner        pull, push, delete; manages the namespace: members, roles, robots, visibility
//	maintainer   pull, push, delete
//	writer       pull, push
//	reader       pull
//
// A namespace may have its own roles, which can contain pull, push and delete. A member's role
// may also be one of the database's shared roles. The visibility defines who else may pull:
// nobody (private), everybody who is signed in (internal), or anyone (public).
//
// Members and visibility become ordinary rules of the policy, with names like "namespace team:
// writer". These rules apply only to names below team/, and have only actions that owners have
// there themselves. So an owner cannot change a decision about a name outside the namespace. A
// deny rule overrides them, as it overrides all allow rules.
//
// Deleting a namespace deletes its members, roles and robots. A later namespace of the same name
// inherits nothing.
//
// # Rights
//
// Each call that changes or returns something takes an Actor, who needs a right over Tidewaiter: a
// scope of the type tidewaiter, decided by the policy in force.
//
//	tidewaiter:policy           read and write roles and rules of the database
//	tidewaiter:namespaces       list, add and delete namespaces
//	tidewaiter:namespace/team   read and write one namespace; its owners have this right
//	tidewaiter:administrators   in addition to policy, write rules that grant rights over
//	                            Tidewaiter, so that nobody can promote themselves
//
// The members of the group "tidewaiter-admins", from any identity source, have all rights
// without a rule, and the members of "tidewaiter-auditors" may read everything. Built-in rules
// of the policy grant these rights (BuiltIn), and a deny rule can take them away. A restricted
// credential cannot change anything.
//
// # Changes
//
// Every change is journaled in its own transaction. Objects have a version: a call that names
// another version than the current one fails with ErrChanged; 0 means any version. A change is
// in force in this process when the call returns, and within two seconds in all other processes
// that share the database and call Run.
//
// When rules of files come into force, this is journaled too, with the names of the rules that
// have changed (RecordFiles).
//
// Each change compiles the whole policy again. The first change is in force at once. Changes
// during the following cooldown come into force together. So a caller that makes changes in a
// loop has to wait, and does not slow down others.
package rulebook

import (
	"cmp"
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Options are the settings of a Rulebook.
type Options struct {
	DB      *store.DB        // nil: only the rules of files, and no changes
	Journal *journal.Journal // required for changes

	// When compiles conditions. nil: rules of the database cannot have conditions.
	When func(text string) (policy.Condition, error)
	// Changed is called with each policy that comes into force because the database changed, one
	// at a time. It may be nil.
	Changed func(*policy.Policy)
	// DeleteOwned deletes what a namespace owns in other tables, in the transaction that deletes
	// the namespace. It may be nil.
	DeleteOwned func(ctx context.Context, tx *sql.Tx, namespace string) error
	// OnNamespaceDeleted is called when a namespace may have been deleted, to drop cached
	// values. It may be nil.
	OnNamespaceDeleted func()

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
}

// Files is the content of the configuration files.
type Files struct {
	Source   policy.Source
	Services []string // the registries; rules of the database may name only these
	ID       string   // policy.Policy.ID of Source alone; "": RecordFiles does nothing
}

// Status is the policy in force.
type Status struct {
	Policy  *policy.Policy
	Loaded  time.Time // when it came into force
	Problem error     // why the current files and database are not in force; nil: no problem
}

// Rulebook holds the rules of files, database and namespaces, and the policy compiled from them.
// Its methods may be called from any goroutine.
type Rulebook struct {
	o       Options
	writer  *admin.Writer
	rights  *admin.Rights
	status  atomic.Pointer[Status]
	limiter compileLimiter // held while compiling a policy

	// mu is never held for long. A goroutine must hold both mu and the limiter to write files,
	// known and source. So the holder of the limiter can read these fields without mu.
	mu            sync.Mutex
	files         Files
	known         *contents     // the database's content for the policy in force; nil: not read yet
	source        policy.Source // of the policy in force
	unstored      []activation  // policies that came into force and wait to be stored
	lastActivated string        // ID of the policy that was added to unstored last

	recorded  string    // Files.ID that is known to be journaled
	waitSince time.Time // since when journaling Files.ID has failed; zero: it has not failed
}

// New returns a rulebook with the rules of files. It starts and reads nothing. There is no
// policy until Load is called. Operators (admin.Operator) can change the database even without
// a policy.
func New(o Options, files Files) (*Rulebook, error) {
	o.Now = clock.Wall(o.Now)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	b := &Rulebook{o: o, files: files, limiter: newCompileLimiter(), writer: admin.NewWriter(o.DB, o.Journal, o.Now)}
	b.status.Store(&Status{Policy: new(policy.Policy)})
	var err error
	b.rights, err = admin.NewRights(func(r *policy.Request) policy.Decision { return b.Policy().Decide(r) }, o.Now)
	return b, err
}

// Policy returns the policy in force.
func (b *Rulebook) Policy() *policy.Policy { return b.status.Load().Policy }

// Status returns the policy in force. If the current files and database are not in force, it
// also returns the reason.
func (b *Rulebook) Status() Status { return *b.status.Load() }

// Rights returns the rights over Tidewaiter that the policy in force grants.
func (b *Rulebook) Rights() *admin.Rights { return b.rights }

// May reports whether the actor has a right over Tidewaiter: actions on tidewaiter:name.
func (b *Rulebook) May(by admin.Actor, name string, actions scope.Actions) bool {
	return b.rights.May(by, name, actions)
}
