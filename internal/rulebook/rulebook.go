// Package rulebook manages the rules in force and the rights to change them.
//
// Roles and rules can be in files, for teams that store them in Git. They can also be in the
// database, where the command line and the API write them. Namespaces, which teams own, are only
// in the database. All rules and namespaces are compiled into one policy, in which a deny rule
// overrides every allow rule. Each rule has its origin (policy.Origin).
//
//	file rules       tidewaiter.yaml and its policy files: package config
//	database rules   AddRule and similar methods, for actors with the right policy
//	namespaces       AddNamespace, SetMember and similar methods, for the owners of a namespace
//
// The names of rules are unique over files and database. The names of roles are unique, too.
//
// # The last valid policy
//
// A Rulebook has the policy in force. A rule that does not compile is refused before it is stored,
// and the error lists all problems with their fields. So each rule in the database is valid by
// itself. But a file and the database can contradict each other. For example, both have a rule of
// the same name, or a rule in the database uses a role that was removed from a file. Then the
// policy in force stays, and Status reports the conflict. When a change of the file or of the
// database resolves the conflict, the new policy takes effect without a restart.
//
// There is never a policy without the database's rules, because a deny rule in the database must
// not be lost when the database is unavailable. Load fails if the database cannot be read. If the
// database cannot be read later, the rules that were read before stay in force.
//
// # Namespaces
//
// The namespace "team" is all repositories below team/, and "shop/web" is all repositories below
// shop/web/. Namespaces do not overlap, because a namespace cannot be added inside another
// namespace or around it. So each repository belongs to at most one namespace. Members are users,
// groups, robots and workloads, each with a role:
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
// writer". These rules apply only to names below team/, and only to actions that the owners have
// in the namespace. So an owner cannot change a decision about a name outside the namespace. A
// deny rule overrides these rules, as it overrides all allow rules.
//
// Deleting a namespace deletes its members, roles and robots. A later namespace of the same name
// inherits nothing.
//
// # Rights
//
// Each call that changes or returns something takes an Actor. The actor needs a right over
// Tidewaiter. A right is a scope of the type tidewaiter, and the policy in force decides who has
// the right.
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
// Every change is journaled in its own transaction. Objects have a version. If the caller passes a
// version that is not the current version, the call fails with ErrChanged. The version 0 matches
// any version. A change is in force in this process when the call returns, and within two seconds
// in all other processes that share the database and call Run.
//
// When rules of files take effect, RecordFiles journals this change, with the names of the rules
// that have changed.
//
// Each change compiles the whole policy again. The first change is in force at once. Changes
// during the following cooldown take effect together. So a caller that makes changes in a loop has
// to wait, and does not delay other callers.
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
	// Changed is called with each policy that takes effect because the database changed. The calls
	// come one at a time. Changed may be nil.
	Changed func(*policy.Policy)
	// DeleteOwned deletes the rows of a namespace in other tables, in the transaction that deletes
	// the namespace. It may be nil.
	DeleteOwned func(ctx context.Context, tx *sql.Tx, namespace string) error
	// OnNamespaceDeleted is called when a namespace was possibly deleted, to drop cached values.
	// It may be nil.
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
	Policy *policy.Policy
	Loaded time.Time // the time at which the policy took effect
	// why the current files and database are not in force; nil: they are in force
	Problem error
}

// Rulebook holds the rules of files, database and namespaces, and the policy compiled from them.
// Its methods may be called from any goroutine.
type Rulebook struct {
	o       Options
	writer  *admin.Writer
	rights  *admin.Rights
	status  atomic.Pointer[Status]
	limiter compileLimiter // taken while a policy is compiled

	// mu is never locked for long. To write the fields files, known and source, a goroutine must
	// have locked mu and taken the limiter. So a goroutine that has the limiter can read these
	// fields without mu.
	mu            sync.Mutex
	files         Files
	known         *contents     // the database's content for the policy in force; nil: not read yet
	source        policy.Source // source of the policy in force
	unstored      []activation  // policies that took effect and are not stored yet
	lastActivated string        // ID of the policy that was most recently added to unstored

	recorded  string    // Files.ID that is known to be journaled
	waitSince time.Time // since this time, journaling Files.ID has failed; zero: no failure
}

// New returns a rulebook with the rules of files. It starts no goroutine and reads nothing. Until
// Load is called, there is no policy. Operators (admin.Operator) can change the database even
// without a policy.
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

// May reports whether the actor may perform the actions on the right tidewaiter:name.
func (b *Rulebook) May(by admin.Actor, name string, actions scope.Actions) bool {
	return b.rights.May(by, name, actions)
}
