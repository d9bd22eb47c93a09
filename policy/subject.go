package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// subject is what a rule is for, and what a principal is or belongs to. A principal either has a
// subject or does not: subjects are not patterns.
//
// A name that is a distinguished name (cn=ops,ou=groups,dc=example,dc=com) is stored in
// canonical form, so that different spellings of it are the same group.
type subject struct {
	kind subjectKind
	name string // "" for a kind without names
}

type subjectKind uint8

const (
	anyone subjectKind = iota
	anonymous
	signedIn
	user
	robot
	workload
	group
)

// word returns the kind as it is written in rules.
func (k subjectKind) word() string {
	switch k {
	case anyone:
		return "anyone"
	case anonymous:
		return "anonymous"
	case signedIn:
		return "signed-in"
	case user:
		return "user"
	case robot:
		return "robot"
	case workload:
		return "workload"
	}
	return "group"
}

func (s subject) String() string {
	if s.kind < user {
		return s.kind.word()
	}
	return s.kind.word() + ":" + s.name
}

// count returns the number of subjects that the principal has; subject returns the i-th. An
// anonymous principal has no groups and no name, whatever the struct holds.
func (who *Principal) count() int {
	switch who.Kind {
	case User, Robot, Workload:
		return 3 + len(who.Groups)
	case Anonymous:
		return 2
	}
	return 1
}

func (who *Principal) subject(i int) subject {
	switch i {
	case 0:
		return subject{kind: anyone}
	case 1:
		if who.Kind == Anonymous {
			return subject{kind: anonymous}
		}
		return subject{kind: signedIn}
	case 2:
		switch who.Kind {
		case Robot:
			return subject{robot, dn.Canonical(who.Name)}
		case Workload:
			return subject{workload, dn.Canonical(who.Name)}
		}
		return subject{user, dn.Canonical(who.Name)}
	}
	return subject{group, dn.Canonical(who.Groups[i-3])}
}

// has reports whether the principal has the subject.
func (who *Principal) has(s subject) bool {
	for i := range who.count() {
		if who.subject(i) == s {
			return true
		}
	}
	return false
}

// userValue returns the value of ${user}. Robots and workloads have none: otherwise anybody who
// may name a robot could call it "ann" and get ann's repositories.
func (who *Principal) userValue() (string, bool) {
	return who.Name, who.Kind == User && validPart(who.Name)
}

// memberOf reports whether ${group} matches the part: the principal is in a group of this name,
// and it is a valid part of a repository's name.
func (who *Principal) memberOf(part string) bool {
	return validPart(part) && who.has(subject{group, part})
}

// parseSubject parses a subject of a rule.
func parseSubject(written string) (subject, *syntaxError) {
	word, name, named := strings.Cut(written, ":")
	var kind subjectKind
	switch word {
	case "anyone":
		kind = anyone
	case "anonymous":
		kind = anonymous
	case "signed-in":
		kind = signedIn
	case "user":
		kind = user
	case "robot":
		kind = robot
	case "workload":
		kind = workload
	case "group":
		kind = group
	default:
		return subject{}, unknownSubject(written, word, name, named)
	}
	switch {
	case kind < user && named:
		return subject{}, &syntaxError{fmt.Sprintf("the subject %q takes no name", written), word}
	case kind < user:
		return subject{kind: kind}, nil
	case name == "":
		return subject{}, &syntaxError{text: fmt.Sprintf("the subject %q has no name", written)}
	case name == "*":
		return subject{}, &syntaxError{fmt.Sprintf("the subject %q must not be a pattern: subjects are compared as they are written", written), "signed-in"}
	case strings.Contains(name, "*") || strings.Contains(name, "${"):
		return subject{}, &syntaxError{text: fmt.Sprintf("the subject %q must not be a pattern: subjects are compared as they are written", written)}
	case strings.TrimSpace(name) != name:
		return subject{}, &syntaxError{fmt.Sprintf("the subject %q has a space at its edge", written), word + ":" + strings.TrimSpace(name)}
	case !text.Printable(name):
		return subject{}, &syntaxError{text: fmt.Sprintf("the subject %q has a character that cannot be seen", written)}
	}
	return subject{kind, dn.Canonical(name)}, nil
}

// otherKinds maps what other systems call the kinds of subjects to ours.
var otherKinds = map[string]string{
	"team": "group", "teams": "group", "role": "group", "org": "group", "organization": "group", "member": "group", "members": "group",
	"person": "user", "people": "user", "account": "user", "login": "user",
	"bot": "robot", "service": "robot", "serviceaccount": "robot", "sa": "robot",
	"job": "workload", "ci": "workload", "oidc": "workload", "pod": "workload",
}

// issuers are first words of workload names, which somebody may have taken for a kind.
var issuers = []string{"github", "gitlab", "buildkite", "spiffe", "system"}

func unknownSubject(written, word, name string, named bool) *syntaxError {
	if written == "" {
		return &syntaxError{text: "the subject is empty; for everybody write anyone"}
	}
	bad := &syntaxError{text: fmt.Sprintf("%q is not a subject; there are anyone, signed-in, anonymous, user:NAME, group:NAME, robot:NAME and workload:NAME", written)}
	if named {
		if meant := text.Nearest(word, []string{"user", "group", "robot", "workload"}); meant != "" && name != "" {
			bad.suggestion = meant + ":" + name
		} else if ours := otherKinds[strings.ToLower(word)]; ours != "" && name != "" {
			bad.suggestion = ours + ":" + name
		} else if slices.Contains(issuers, word) && name != "" {
			bad.suggestion = "workload:" + written
		}
		return bad
	}
	if name, ok := strings.CutPrefix(written, "@"); ok && name != "" {
		bad.suggestion = "group:" + name
		return bad
	}
	switch strings.ToLower(word) {
	case "*", "all", "everyone", "everybody", "public":
		bad.suggestion = "anyone"
	case "authenticated", "users", "user":
		bad.suggestion = "signed-in"
	default:
		bad.suggestion = text.Nearest(word, []string{"anyone", "anonymous", "signed-in"})
	}
	return bad
}
