// Package rulebook answers: which rules are in force, and who may change them?
//
// Roles and rules stand in files, for those who keep them in Git, and in the database, for the command line and the API.
// Namespaces, which teams own, stand in the database alone. All of it together is compiled into one policy, in
// which a deny wins wherever it stands. Each rule says where it is from (policy.Origin).
//
//	file rules       tidewaiter.yaml and its policy files: package config
//	database rules   AddRule and its like, by whoever has the right policy
//	namespaces       AddNamespace, SetMember and their like, by their owners
//
// Names of rules are unique over files and database, and so are those of roles.
//
// # One policy, and the last good one
//
// A Rulebook holds the policy in force. What would not compile is refused when somebody writes it, with all that is wrong and the
// field that each mistake is in. So the database never holds a rule that is a mistake by itself. What can happen is that a
// file and the database come to contradict each other: a rule of one name in both, or a role that a file no longer has. Then
// the policy in force stays, Status says what is wrong, and the next change that mends it, in the file or in the database,
// takes effect by itself.
//
// There is never a policy without the database's rules: a deny that stands there alone must not be lost because
// the database is away. Load fails where it cannot be read; later, what was read last goes on to hold.
//
// # Namespaces
//
// The namespace "team" is all repositories below team/, and "shop/web" all below shop/web/. Namespaces do not overlap: none is made
// inside another or around one, so that one owner's word is the last in each repository. Members are users, groups, robots and
// workloads, each with a role:
//
//	owner        pull, push, delete; and looks after the namespace: members, roles, robots, visibility
//	maintainer   pull, push, delete
//	writer       pull, push
//	reader       pull
//
// A namespace may have roles of its own, which are some of pull, push and delete, and a member's role may also be one of the
// database's roles for all. Visibility says who else may pull: nobody (private), who is signed in (internal), or anyone (public).
//
// All of that becomes rules of the policy like any others, called "namespace team: writer". They are about names below team/ only, with actions
// that owners have there themselves: so nothing that an owner can write changes a decision about another name. And
// like any others they yield to a deny.
//
// A namespace that is deleted takes its members, roles and robots with it. Another of its name has nothing of it.
//
// # Rights
//
// Each call that changes or shows something takes the Actor that does it, who needs a right over Tidewaiter: a
// scope of the type tidewaiter, judged by the policy in force.
//
//	tidewaiter:policy           see and change roles and rules of the database
//	tidewaiter:namespaces       see, make and delete namespaces
//	tidewaiter:namespace/team   see and change one; its owners have it by a rule of their namespace
//	tidewaiter:administrators   beside policy, to change what gives rights over Tidewaiter: nobody promotes himself
//
// The members of the group "tidewaiter-admins", of whichever source, have all of them without a rule, and those of
// "tidewaiter-auditors" may read everything; a rule of the policy can deny it to them. These are rules of the policy that nobody needs
// to write (BuiltIn). A credential that is narrowed changes nothing.
//
// # Changes
//
// Every change is journaled in its own transaction. What is kept has a version: a call that is given another one than the present fails with
// ErrChanged; 0 means any. A change is in force in this process when the call returns, and within two seconds in
// all others that share the database, while they Run.
//
// Rules of files that come into force are journaled, too, by the names of those that are others
// than before (RecordFiles).
//
// Each change makes a new policy of everything. The first is in force at once; those that come while the process rests from that are
// collected, and come into force together. So whoever changes something in a loop waits, and keeps nobody else from working.
package rulebook

import (
	"cmp"
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Options are the settings of a Rulebook.
type Options struct {
	DB      *store.DB        // nil: there are the rules of files only, and nothing can be changed
	Journal *journal.Journal // needed to change anything

	// When compiles conditions. nil: a rule of the database can have none.
	When func(text string) (policy.Condition, error)
	// Changed is told each policy that comes into force because the database changed, one after the other. nil: nobody is.
	Changed func(*policy.Policy)
	// Released removes what belongs to a namespace elsewhere, in the transaction that deletes it. nil: nothing does.
	Released func(ctx context.Context, tx *sql.Tx, namespace string) error
	// Gone is told when a namespace may have been deleted: what belonged to it elsewhere is to be forgotten. nil: nobody is.
	Gone func()

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
}

// Files is what files say.
type Files struct {
	Source   policy.Source
	Services []string // of the registries that there are: a rule of the database may name only these
	ID       string   // policy.Policy.ID of Source alone; "": RecordFiles does nothing
}

// Status is what is in force.
type Status struct {
	Policy  *policy.Policy
	Loaded  time.Time // when it came into force
	Problem error     // why what files and database say now is not in force; nil: it is
}

// Rulebook is the rules of files, database and namespaces, and the policy compiled from them. Its methods may
// be called from any goroutine.
type Rulebook struct {
	o      Options
	write  func(ctx context.Context, topic string, f func(*sql.Tx) error) error // DB.Write; tests put faults here
	rights *Rights
	status atomic.Pointer[Status]
	turn   turn // of making a policy

	mu     sync.Mutex // held for moments. Who writes files, known or source has the turn as well, and reads them without it
	files  Files
	known  *contents     // of the database, as it was read for the policy in force; nil: nothing yet
	source policy.Source // of the policy in force
	kept   string        // the version that was last kept

	recorded  string    // Files.ID that the journal is known to speak of
	waitSince time.Time // since when another one could not be recorded; zero: none waits
}

// New returns a rulebook of what files say. It starts nothing and reads nothing: until Load, there is no policy, which
// is enough for who changes the database as an Operator.
func New(o Options, files Files) (*Rulebook, error) {
	o.Now = clock.Wall(o.Now)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	b := &Rulebook{o: o, files: files, turn: newTurn()}
	if o.DB != nil {
		b.write = o.DB.Write
	}
	b.status.Store(&Status{Policy: new(policy.Policy)})
	var err error
	b.rights, err = NewRights(func(r *policy.Request) policy.Decision { return b.Policy().Decide(r) }, o.Now)
	return b, err
}

// Policy is the policy in force.
func (b *Rulebook) Policy() *policy.Policy { return b.status.Load().Policy }

// Status is what is in force, and what is wrong.
func (b *Rulebook) Status() Status { return *b.status.Load() }

// May says whether the actor has a right over Tidewaiter: actions on tidewaiter:name.
func (b *Rulebook) May(by Actor, name string, actions scope.Actions) bool {
	return b.rights.May(by, name, actions)
}
