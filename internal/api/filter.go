package api

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Filter selects entries of the journal, in the form that the API and the command line accept.
// The zero value selects all.
type Filter struct {
	Since      time.Time       `query:"since" doc:"Only entries at this time or later" example:"2026-11-28T00:00:00Z"`
	Until      time.Time       `query:"until" doc:"Only entries before this time" example:"2026-11-29T00:00:00Z"`
	Kind       journal.Kind    `query:"kind" enum:"decision,event,change,service,text" doc:"Only entries of this kind"`
	Outcome    journal.Outcome `query:"outcome" enum:"granted,partial,refused" doc:"Only decisions with this outcome. Partial: some of the requested actions were granted"`
	Registry   string          `query:"registry" maxLength:"256" doc:"Only entries about this registry" example:"registry.example.com"`
	Principal  string          `query:"principal" maxLength:"300" doc:"Only requests, events and changes of this principal: user:NAME, robot:NAME, workload:NAME, operator:NAME or anonymous. A name without a prefix matches all of these kinds" example:"user:alice"`
	Repository string          `query:"repository" maxLength:"600" doc:"Only decisions and events about this repository. team/** matches all repositories below team, and ** matches every repository" example:"team/app"`
	Digest     string          `query:"digest" maxLength:"512" doc:"Only events about the object with this digest, or about an object that refers to it. Seven hexadecimal digits are enough" example:"sha256:1b2c3d4"`
	Tag        string          `query:"tag" maxLength:"128" doc:"Only events about this tag" example:"v1"`
	Action     string          `query:"action" maxLength:"64" doc:"Only requests for this action, and other entries with this action" example:"push"`
	Address    string          `query:"address" maxLength:"64" doc:"Only requests of clients with this address, or in this network" example:"192.0.2.0/24"`
	Decision   string          `query:"decision" maxLength:"36" doc:"Only the decision with this id, and the decisions that reused its token" example:"019aa1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"`
	Credential string          `query:"credential" maxLength:"300" doc:"Only decisions for which this credential was presented: password, ID token or token:NAME, as in entries. Several owners can have tokens of the same name, so give principal, too" example:"token:laptop"`
}

// Query returns the query for the journal. If part of the filter is invalid, it returns the name
// of this part and the reason.
func (f *Filter) Query() (q journal.Query, field, reason string) {
	q = journal.Query{
		Since: f.Since, Until: f.Until, Kind: f.Kind, Outcome: f.Outcome, Registry: f.Registry,
		Repository: f.Repository, Tag: f.Tag, Action: f.Action, Credential: f.Credential,
	}
	switch {
	case !f.Until.IsZero() && !f.Since.Before(f.Until):
		return q, "until", "not after since"
	case f.Outcome != "" && f.Kind != "" && f.Kind != journal.KindDecision:
		return q, "outcome", "only decisions have an outcome"
	}
	for _, step := range []struct {
		field, value string
		set          func(q *journal.Query, value string) (reason string)
	}{
		{"principal", f.Principal, setPrincipal}, {"repository", f.Repository, setRepository}, {"digest", f.Digest, setDigest},
		{"address", f.Address, setAddress}, {"decision", f.Decision, setDecision},
	} {
		if step.value == "" {
			continue
		}
		if reason := step.set(&q, step.value); reason != "" {
			return q, step.field, reason
		}
	}
	return q, "", ""
}

func setPrincipal(q *journal.Query, written string) string {
	kind, name, ok := strings.Cut(written, ":")
	who := &journal.Who{Subjects: []string{written}}
	switch {
	case !ok && written == policy.Anonymous.String():
		who.Logins = []string{""}
	case !ok: // a name without a kind, as in rules or as a login
		for _, kind := range []string{"user", "robot", "workload", "operator"} {
			who.Subjects = append(who.Subjects, kind+":"+written)
		}
		who.Logins = []string{written, username.RobotPrefix + written}
		if robot, isRobot := strings.CutPrefix(written, username.RobotPrefix); isRobot {
			who.Subjects = append(who.Subjects, policy.Robot.String()+":"+robot)
		}
	case kind == "group":
		return "groups are not in the journal: give a member of the group, such as user:NAME"
	case !slices.Contains([]string{"user", "robot", "workload", "operator"}, kind):
		return "unknown kind: give user:NAME, robot:NAME, workload:NAME, operator:NAME or anonymous. For the workload github:acme/app, give workload:github:acme/app"
	case name == "":
		return "the name is missing"
	case kind == "robot":
		who.Logins = []string{username.RobotPrefix + name}
	case kind == "user", kind == "workload" && strings.Contains(name, ":"):
		// Events have only the login. The login of a workload begins with the name of the
		// source and a colon.
		who.Logins = []string{name}
	}
	q.Who = who
	return ""
}

// setRepository sets the repository that q selects. If the text cannot be the name of a
// repository, no entry would match. In this case, setRepository returns the reason and does not
// change q.
func setRepository(q *journal.Query, written string) string {
	if host, repository, sure := text.WithoutRegistry(written); host != "" && sure {
		return text.NamedWithoutRegistry(repository)
	}
	name, below := strings.CutSuffix(written, "/**")
	switch last := written[strings.LastIndexByte(written, '/')+1:]; {
	case written == "**":
	case strings.ContainsAny(name, "*@") || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || name == "" && below:
		return "not a repository: give a name such as team/app, team/** for all repositories below team, or ** for all repositories"
	case strings.Contains(last, ":"):
		return "a repository has no tag: give the tag as a separate filter"
	}
	q.Repository = written
	return ""
}

// maxDigits is the number of hexadecimal digits in a digest, by algorithm.
var maxDigits = map[string]int{"sha256": 64, "sha384": 96, "sha512": 128}

func setDigest(q *journal.Query, written string) string {
	algorithm, digits, ok := strings.Cut(written, ":")
	if !ok {
		algorithm, digits = "sha256", written
	}
	algorithm, digits = strings.ToLower(algorithm), strings.ToLower(digits)
	digits = strings.TrimSuffix(digits, "…") // in summaries of entries, a digest ends with …
	if len(digits) < 7 || len(digits) > maxDigits[algorithm] || strings.Trim(digits, "0123456789abcdef") != "" {
		return "not a digest: give sha256: and at least 7 hexadecimal digits, such as sha256:1b2c3d4"
	}
	q.Digest = algorithm + ":" + digits
	return ""
}

func setAddress(q *journal.Query, written string) string {
	network, err := netip.ParsePrefix(written)
	if err == nil && network.Addr().Is4In6() {
		return "an IPv4 network in the form of IPv6: write it in the form 192.0.2.0/24"
	}
	if err != nil {
		address, err := netip.ParseAddr(written)
		if err != nil || address.Zone() != "" {
			return "not an address or network: give for example 192.0.2.9 or 192.0.2.0/24"
		}
		address = address.Unmap()
		network = netip.PrefixFrom(address, address.BitLen())
	}
	q.Address = network.Masked()
	return ""
}

func setDecision(q *journal.Query, written string) string {
	if err := q.Decision.UnmarshalText([]byte(written)); err != nil {
		return "not the whole id of a decision: copy the id that journal list prints"
	}
	return ""
}
