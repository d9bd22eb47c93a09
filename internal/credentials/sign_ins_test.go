package credentials_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

const sso = "oidc:sso"

// signedIn is a source that finds users by their last sign-in.
type signedIn struct{ *harness }

func (s signedIn) Authenticate(context.Context, identity.Presented) (identity.Verified, error) {
	return identity.Verified{}, identity.ErrUnknown
}

func (s signedIn) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	return s.harness.LastSignIn(ctx, sso, name, id)
}

// withPeople adds the source. A stored sign-in counts for one day.
func (h *harness) withPeople() {
	h.T.Helper()
	h.Options.SignInLasts = func(source string) time.Duration {
		if source == sso {
			return 24 * time.Hour
		}
		return 0
	}
	h.Reopen(identity.Source{Name: sso, Authenticator: signedIn{h}, Remote: true, Kinds: []identity.Kind{identity.IDToken}})
}

func ann(groups ...string) *policy.Principal {
	return &policy.Principal{Kind: policy.User, Source: sso, Name: "ann", ID: "https://sso.example.com#1", Groups: groups,
		Claims: map[string]any{"level": json.Number("7"), "flag": true, "list": []any{"a", json.Number("1.5")}}}
}

// byIDToken returns an actor that presents an ID token with a lifetime of five minutes.
func (h *harness) byIDToken(p *policy.Principal) admin.Actor {
	return admin.Actor{Principal: p, Credential: identity.CredentialIDToken, Until: h.Clock.Now().Add(5 * time.Minute)}
}

// A token that is created with an ID token is valid for a configured time after the newest
// sign-in. The token has the groups and claims of this sign-in, and is rejected after a refused
// sign-in.
func TestTokenLastsAsLongAsTheSignInCounts(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.withPeople()
		maintain := h.Maintain(t.Context())
		_, secret, err := h.AddToken(t.Context(), h.byIDToken(ann("dev")), credentials.NewToken{Name: "laptop"})
		if err != nil {
			t.Fatal(err)
		}
		access := presented("", secret.Reveal())
		written := func() { // as Run does it
			h.Clock.Pass(5 * time.Second)
			maintain()
		}
		expect := func(what string, want *policy.Principal) {
			t.Helper()
			v, err := h.Chain.Authenticate(t.Context(), access)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				return
			}
			if diff := cmp.Diff(want, v.Principal, cmpopts.IgnoreUnexported(policy.Principal{})); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		refused := func(what, why string) {
			t.Helper()
			_, err := h.Chain.Authenticate(t.Context(), access)
			explained, ok := errors.AsType[*identity.ExplainedError](err)
			if !ok || !errors.Is(err, identity.ErrRejected) || explained.What != "the access token" || !strings.Contains(explained.Reason, why) || !strings.HasSuffix(explained.Reason, "sign in again") {
				t.Errorf("%s: %v", what, err)
			}
		}
		expect("at once", ann("dev"))
		h.Clock.Pass(24*time.Hour - 10*time.Second)
		expect("after a day", ann("dev"))
		h.Clock.Pass(11 * time.Second)
		refused("after more than a day", "the last sign-in through oidc:sso was on 2026-11-23, and a sign-in is valid for 24h0m0s")

		for _, kept := range []bool{false, true} {
			h.Clock.Pass(time.Minute)
			h.SignedIn(ann("ops"))
			if kept {
				written()
			}
			expect("after another sign-in", ann("ops"))
			h.SignInRefused(sso, ann().ID)
			if kept {
				written()
			}
			refused("after a refused sign-in", "the last sign-in through oidc:sso was refused")
			h.SignedIn(ann("dev"))
			if kept {
				written()
			}
			expect("after an accepted sign-in", ann("dev"))
		}
		renamed := ann("dev")
		renamed.Name = "anna"
		h.SignedIn(renamed)
		expect("under another name", renamed)
		written()
		if p, err := h.LastSignIn(t.Context(), sso, "anna", ""); err != nil || p.ID != renamed.ID {
			t.Errorf("by name: %v %v", p, err)
		}
		if _, err := h.LastSignIn(t.Context(), sso, "ann", ""); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("by the former name: %v", err)
		}

		// Another process shares the database.
		other := h.Open()
		if p, err := other.LastSignIn(t.Context(), sso, "", renamed.ID); err != nil || p.Name != "anna" {
			t.Errorf("in another process: %v %v", p, err)
		}

		if _, err := h.RevokeAll(t.Context(), operator, credentials.OwnerOf(renamed), ""); err != nil {
			t.Fatal(err)
		}
		h.Clock.Pass(2 * time.Hour)
		maintain()
		if _, err := other.LastSignIn(t.Context(), sso, "", renamed.ID); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("the sign-in of a user without tokens is stored: %v", err)
		}
	})
}

// Nothing is stored about users without tokens. Users of a source whose sign-ins do not count
// cannot have tokens.
func TestSignInsAreStoredForUsersWithTokens(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.withPeople()
		maintain := h.Maintain(t.Context())
		h.SignedIn(ann("dev"))
		h.Clock.Pass(time.Minute)
		maintain()
		if _, err := h.LastSignIn(t.Context(), sso, "ann", ""); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("%v", err)
		}
		other := ann("dev")
		other.Source = "oidc:other"
		_, _, err := h.AddToken(t.Context(), h.byIDToken(other), credentials.NewToken{Name: "laptop"})
		is(t, "a token of a user whose sign-ins do not count", err, admin.ErrForbidden)
		job := ann()
		job.Kind = policy.Workload
		_, _, err = h.AddToken(t.Context(), h.byIDToken(job), credentials.NewToken{Name: "laptop"})
		is(t, "of a job", err, admin.ErrForbidden)

		// A token gets the requested expiry. Tokens that it creates do not expire later.
		end := h.Clock.Now().Add(time.Hour)
		made, secret, err := h.AddToken(t.Context(), h.byIDToken(ann("dev")), credentials.NewToken{Name: "hour", Expires: end})
		if err != nil || !made.Expires.Equal(end) {
			t.Fatalf("%v %v", made.Expires, err)
		}
		child, _, err := h.AddToken(t.Context(), h.ActorOf(presented("", secret.Reveal())), credentials.NewToken{Name: "child"})
		if err != nil || !child.Expires.Equal(end) || child.Parent != made.ID {
			t.Errorf("%+v %v", child, err)
		}
	})
}

// A stored sign-in that cannot be read is an error. Otherwise a group could be missing. If a
// sign-in cannot be written, the write is retried.
func TestSignInThatIsUnreadableOrNotWritten(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.withPeople()
		maintain := h.Maintain(t.Context())
		_, secret, err := h.AddToken(t.Context(), h.byIDToken(ann("dev")), credentials.NewToken{Name: "laptop"})
		if err != nil {
			t.Fatal(err)
		}
		h.Clock.Pass(2 * time.Minute)
		failing := true
		h.SetWrite(func(real accountstest.Write) accountstest.Write {
			return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
				if failing {
					return errors.New("disk full")
				}
				return real(ctx, topic, f)
			}
		})
		h.SignedIn(ann("ops"))
		maintain()
		failing = false
		h.Clock.Pass(5 * time.Second)
		maintain()
		other := h.Open()
		if p, err := other.LastSignIn(t.Context(), sso, "", ann().ID); err != nil || len(p.Groups) != 1 || p.Groups[0] != "ops" {
			t.Errorf("a sign-in that failed to be written is lost: %+v %v", p, err)
		}

		for _, text := range []string{"", "{", `{"claims":{"n":1e999}}`} {
			err := h.DB.Write(t.Context(), "", func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), "UPDATE sign_ins SET who = $1", text)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Chain.Authenticate(t.Context(), presented("", secret.Reveal())); err == nil || errors.Is(err, identity.ErrRejected) {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// A sign-in that was accepted with other settings does not count. With the new settings, the user
// could have no access, or another group for which there is a deny rule.
func TestSignInCountsOnlyWithTheSameSettings(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		settings := "one"
		h.Options.SignInSettings = func(string) string { return settings }
		h.withPeople()
		maintain := h.Maintain(t.Context())
		_, secret, err := h.AddToken(t.Context(), h.byIDToken(ann("dev")), credentials.NewToken{Name: "laptop"})
		if err != nil {
			t.Fatal(err)
		}
		access := presented("", secret.Reveal())
		if _, err := h.Chain.Authenticate(t.Context(), access); err != nil {
			t.Fatal(err)
		}
		settings = "two"
		h.Clock.Pass(time.Minute)
		maintain()
		_, err = h.Chain.Authenticate(t.Context(), access)
		if explained, ok := errors.AsType[*identity.ExplainedError](err); !ok || !strings.Contains(explained.Reason, "the settings of oidc:sso have changed") {
			t.Errorf("with other settings: %v", err)
		}
		h.SignedIn(ann("dev"))
		if _, err := h.Chain.Authenticate(t.Context(), access); err != nil {
			t.Errorf("after another sign-in: %v", err)
		}
	})
}

// Replicas write sign-ins in batches. The newest sign-in counts, even if it is not written last.
func TestLatestSignInCountsOverReplicas(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.withPeople()
		if _, _, err := h.AddToken(t.Context(), h.byIDToken(ann("dev")), credentials.NewToken{Name: "laptop"}); err != nil {
			t.Fatal(err)
		}
		signIn := func(replica *accountstest.Process, accepted bool) {
			if h.Clock.Pass(2 * time.Second); accepted {
				replica.SignedIn(ann("ops"))
			} else {
				replica.SignInRefused(sso, ann().ID)
			}
		}
		for _, tt := range []struct{ earlier, later, laterIsWrittenFirst bool }{
			{true, false, true}, {true, false, false}, {false, true, true}, {false, true, false}, {true, true, true}, {false, false, true},
		} {
			replicas := []*accountstest.Process{h.Open(), h.Open()}
			signIn(replicas[0], tt.earlier)
			signIn(replicas[1], tt.later)
			if tt.laterIsWrittenFirst {
				replicas[0], replicas[1] = replicas[1], replicas[0]
			}
			h.Clock.Pass(5 * time.Second)
			for _, replica := range replicas {
				replica.Maintain(t.Context())
			}
			for _, replica := range replicas {
				if _, err := replica.LastSignIn(t.Context(), sso, "", ann().ID); (err == nil) != tt.later {
					t.Errorf("%+v: %v", tt, err)
				}
			}
		}
	})
}

// A clock is ahead. Later it is set back, or it is the clock of another replica. A sign-in that
// was stored with the time of this clock must not win over later sign-ins.
func TestSignInOfAClockThatWasAhead(t *testing.T) {
	const ahead = 2 * time.Hour
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.withPeople()
		maintain := h.Maintain(t.Context())
		written := func() {
			h.Clock.Pass(5 * time.Second)
			maintain()
		}
		addToken := func(p *policy.Principal, name string) {
			_, _, err := h.AddToken(t.Context(), h.byIDToken(p), credentials.NewToken{Name: name})
			is(t, "a token", err, nil)
		}
		outcomes := map[string]func(p *policy.Principal, name string){
			"accepted":              func(p *policy.Principal, _ string) { h.SignedIn(p) },
			"refused":               func(p *policy.Principal, _ string) { h.SignInRefused(sso, p.ID) },
			"accepted with a token": addToken,
		}
		replicas := map[string]*accountstest.Process{"its process": h.Process, "another process": h.Open()}
		people := 0
		for first, before := range outcomes {
			for second, after := range outcomes {
				for _, writtenFirst := range []bool{false, true} {
					people++
					person := func(group string) *policy.Principal {
						p := ann(group)
						p.ID = fmt.Sprint("https://sso.example.com#", people)
						return p
					}
					what := fmt.Sprintf("%s while the clock was ahead (written then: %v), then %s, in ", first, writtenFirst, second)
					addToken(person("old"), "old")
					h.Clock.Set(ahead)
					h.Clock.Pass(2 * time.Minute)
					before(person("before"), "before")
					if writtenFirst {
						written()
					}
					h.Clock.Set(-ahead)
					for name, replica := range replicas {
						if name == "another process" && !writtenFirst && first != "accepted with a token" {
							continue // the sign-in is not written, so this process does not know it
						}
						p, err := replica.LastSignIn(t.Context(), sso, "", person("").ID)
						if disabled, ok := errors.AsType[*identity.DisabledError](err); !ok || !strings.HasSuffix(disabled.Why, "sign in again") {
							t.Errorf("%s%s: before the second: %v, %v", what, name, p, err)
						}
					}
					written()
					for name, replica := range replicas {
						// A sign-in that is written after the clock was set back gets the
						// current time, so it counts.
						accepted := first == "accepted" && !writtenFirst
						p, err := replica.LastSignIn(t.Context(), sso, "", person("").ID)
						if (err == nil) != accepted || accepted && !slices.Equal(p.Groups, []string{"before"}) {
							t.Errorf("%s%s: before the second, written: %v, %v", what, name, p, err)
						}
					}
					h.Clock.Pass(time.Second)
					after(person("new"), "after")
					written()
					for name, replica := range replicas {
						p, err := replica.LastSignIn(t.Context(), sso, "", person("").ID)
						if accepted := second != "refused"; (err == nil) != accepted || accepted && !slices.Equal(p.Groups, []string{"new"}) {
							t.Errorf("%s%s: %v, %v", what, name, p, err)
						}
					}
				}
			}
		}
	})
}

// A sign-in counts if the clock of the replica that wrote it is ahead by less than a minute. Such
// a sign-in wins over earlier sign-ins.
func TestSignInOfAReplicaThatIsSlightlyAhead(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.withPeople()
		maintain := h.Maintain(t.Context())
		_, _, err := h.AddToken(t.Context(), h.byIDToken(ann("old")), credentials.NewToken{Name: "laptop"})
		is(t, "a token", err, nil)
		other := h.Open()
		h.Clock.Pass(2 * time.Minute)
		h.SignedIn(ann("earlier"))
		h.Clock.Set(50 * time.Second)
		other.SignedIn(ann("later"))
		h.Clock.Pass(5 * time.Second)
		other.Maintain(t.Context())
		h.Clock.Set(-50 * time.Second)
		maintain()
		for _, replica := range []*accountstest.Process{h.Process, other} {
			if p, err := replica.LastSignIn(t.Context(), sso, "", ann().ID); err != nil || !slices.Equal(p.Groups, []string{"later"}) {
				t.Errorf("%v, %v", p, err)
			}
		}
	})
}
