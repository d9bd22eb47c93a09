package rulebook

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Visibility defines who may pull from a namespace without being a member.
type Visibility string

// The visibilities.
const (
	Private  Visibility = "private"  // nobody
	Internal Visibility = "internal" // everybody who is signed in
	Public   Visibility = "public"   // anyone
)

// Namespace is all repositories below a name, with members.
type Namespace struct {
	ID         string
	Version    int64 // increases with each change of the namespace, its members and its roles
	Created    time.Time
	Changed    time.Time
	Name       string // "team", "shop/web"
	Visibility Visibility
	Size       int // number of members

	Unchanged bool // the call changed nothing, because the namespace is as requested
}

// NewNamespace is a namespace to add.
type NewNamespace struct {
	Name       string
	Visibility Visibility // "": Private
	Owners     []string   // subjects; empty: only actors with rights over all namespaces manage it
}

// Member is a subject with a role in a namespace.
type Member struct {
	Subject string // user:NAME, group:NAME, robot:NAME or workload:NAME
	Role    string
	Created time.Time
}

// Limits of a namespace.
const (
	maxNamespace = 128 // bytes of its name
	maxMembers   = 1000
	maxRoles     = 100
)

// checkNamespace checks the name of a namespace: one or more path parts. The parts have no
// dots, because a dot replaces the slash in the names of the namespace's robots. With dots, two
// namespaces could have a robot of the same name.
func checkNamespace(name string) error {
	invalid := func(format string, args ...any) error { return admin.Invalid("name", format, args...) }
	if len(name) > maxNamespace {
		return invalid("it has %d bytes, the limit is %d", len(name), maxNamespace)
	}
	plain := strings.TrimSuffix(strings.TrimSuffix(name, "/**"), "/")
	if plain != name && plain != "" {
		return invalid("%q must end with the last part (did you mean %q?)", name, plain)
	}
	for part := range strings.SplitSeq(name, "/") {
		if !validPart(part, "-_") {
			return invalid("%q is not a name of a namespace: it must be path parts of lower-case letters and digits, with single \"-\" or \"_\" between them", name)
		}
	}
	return nil
}

func (v Visibility) check() error {
	if !slices.Contains([]Visibility{Private, Internal, Public}, v) {
		return admin.Invalid("visibility", "%.40q is none of private, internal, public", string(v))
	}
	return nil
}

// RobotIn splits the name of a robot of a namespace: "shop.web.ci" is the robot ci of the
// namespace shop/web. If the robot cannot belong to a namespace, ok is false.
func RobotIn(robot string) (namespace, name string, ok bool) {
	dot := strings.LastIndexByte(robot, '.')
	if dot < 0 {
		return "", "", false
	}
	namespace, name = strings.ReplaceAll(robot[:dot], ".", "/"), robot[dot+1:]
	return namespace, name, checkNamespace(namespace) == nil && validPart(name, "-_")
}

// checkSubject checks the subject of a member.
func checkSubject(subject string) error {
	kind, name, _ := strings.Cut(subject, ":")
	if !slices.Contains([]string{"user", "group", "robot", "workload"}, kind) {
		return admin.Invalid("subject", "%.80q cannot be a member: there are user:NAME, group:NAME, robot:NAME and workload:NAME", subject)
	}
	if plain, ok := strings.CutPrefix(name, "robot+"); ok && kind == "robot" {
		return admin.Invalid("subject", "the prefix robot+ is only for signing in (did you mean %q?)", "robot:"+plain)
	}
	if len(subject) > 512 {
		return admin.Invalid("subject", "it is too long")
	}
	probe := policy.Rule{Name: "member", Subjects: []string{subject}, Names: []string{"a/**"}, Actions: scope.Pull}
	if problems, ok := errors.AsType[ruleset.Problems](ruleset.Compiled(probe, nil, nil)); ok {
		return admin.Invalid("subject", "%s", problems[0].Text)
	}
	return nil
}
