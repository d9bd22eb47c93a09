//go:build unix

package hook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/hook"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/policy"
)

// If the first argument is a known word, the test binary behaves as the called program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "be" {
		os.Exit(be(os.Args[2], os.Args[3:]))
	}
	os.Exit(m.Run())
}

func be(what string, args []string) int {
	input, _ := io.ReadAll(os.Stdin)
	switch what {
	case "source": // like one for docker_auth
		switch name, password, _ := strings.Cut(string(input), " "); {
		case name != "ann":
			return 2
		case password != "wonder land":
			return 1
		}
		fmt.Println(`{"labels": {"team": ["red", "blue"], "groups": ["dev"]}}`)
		return 0
	case "authorizer":
		var r struct{ Account, Type, Name, Service, IP string }
		if json.Unmarshal(input, &r) != nil || r.Account != "ann" || r.Service != "r" || r.IP != "192.0.2.1" {
			return 9
		}
		if r.Name == "team/app" {
			return 0
		}
		return 1
	case "code":
		n, _ := strconv.Atoi(args[0])
		return n
	case "says":
		fmt.Print(args[0])
	case "shouts":
		for {
			if _, err := os.Stdout.WriteString(strings.Repeat("x", 1<<16)); err != nil {
				return 0
			}
		}
	case "slow": // its child is slow too, and keeps the output open
		child := exec.Command("/bin/sh", "-c", "sleep 600")
		child.Stdout = os.Stdout
		if child.Start() != nil {
			return 9
		}
		_ = os.WriteFile(args[0], []byte(strconv.Itoa(child.Process.Pid)), 0o600)
		_ = child.Wait()
	case "tells":
		text := strings.Join(os.Args, "\n") + strings.Join(os.Environ(), "\n")
		dir, _ := os.Getwd()
		_ = os.WriteFile(args[0], []byte(text+"\ndir="+dir), 0o600)
		fmt.Fprintln(os.Stderr, "the password is "+string(input))
		return 3
	}
	return 0
}

func program(t *testing.T, change func(*hook.Options), args ...string) *hook.Hook {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := hook.Options{Name: "script", Command: append([]string{self, "be"}, args...), Timeout: time.Minute}
	if change != nil {
		change(&o)
	}
	e, err := hook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAProgramIsASource(t *testing.T) {
	identitytest.Run(t, identitytest.Subject{
		Source: program(t, nil, "source"), Kind: identity.Password, Name: "ann", Secret: "wonder land", Unknown: "nobody", Hidden: true,
	})
}

func TestLabelsOfAProgramAreClaims(t *testing.T) {
	v, err := program(t, nil, "source").Authenticate(t.Context(), identity.NewPresented("ann", "wonder land"))
	if err != nil {
		t.Fatal(err)
	}
	want := &policy.Principal{
		Kind: policy.User, Name: "ann", ID: "ann", Source: "exec:script", Groups: []string{"dev"},
		Claims: map[string]any{"team": []string{"red", "blue"}, "groups": []string{"dev"}},
	}
	if diff := cmp.Diff(want, v.Principal); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAProgramAnswersByItsExitCode(t *testing.T) {
	for code, want := range []error{nil, identity.ErrRejected, identity.ErrUnknown} {
		_, err := program(t, nil, "code", strconv.Itoa(code)).Authenticate(t.Context(), identity.NewPresented("ann", "x"))
		if !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", code, err, want)
		}
	}
	_, err := program(t, nil, "says", `{"labels":{"groups":[""]}}`).Authenticate(t.Context(), identity.NewPresented("ann", canary))
	if _, incomplete := errors.AsType[*identity.IncompleteError](err); !incomplete {
		t.Errorf("a group without a name: %v", err)
	}
	for _, args := range [][]string{{"code", "3"}, {"code", "127"}, {"says", "yes"}, {"says", `{"labels":["dev"]}`}} {
		_, err := program(t, nil, args...).Authenticate(t.Context(), identity.NewPresented("ann", canary))
		if err == nil || errors.Is(err, identity.ErrRejected) || errors.Is(err, identity.ErrUnknown) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v, want an outage", args, err)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	_, err := program(t, nil, "shouts").Authenticate(t.Context(), identity.NewPresented("ann", "x"))
	if err == nil || err.Error() != "the output of the program is longer than 65536 bytes" {
		t.Errorf("%v", err)
	}
}

// If names with a space were sent, the name "ann x" with the password "y" would reach the
// program as ann with the password "x y".
func TestANameWithASpaceIsRefused(t *testing.T) {
	e := program(t, nil, "source")
	for _, tt := range []struct{ name, secret string }{{"ann wonder", "land"}, {"ann", "wonder land\nx"}, {"ann", "wonder land\r"}} {
		if _, err := e.Authenticate(t.Context(), identity.NewPresented(tt.name, tt.secret)); !errors.Is(err, identity.ErrUnknown) && !errors.Is(err, identity.ErrRejected) {
			t.Errorf("%q with %q: %v", tt.name, tt.secret, err)
		}
	}
}

// Other users of the machine can read the arguments and the environment of a process.
func TestThePasswordIsOnlyOnStandardInput(t *testing.T) {
	t.Setenv("TIDEWAITER_TEST_SECRET", "of-our-environment")
	file := filepath.Join(t.TempDir(), "told")
	_, err := program(t, nil, "tells", file).Authenticate(t.Context(), identity.NewPresented("ann", canary))
	if err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("the standard error of the program is in the error: %v", err)
	}
	told, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(told), canary) || strings.Contains(string(told), "of-our-environment") || !strings.HasSuffix(string(told), "\ndir=/") {
		t.Errorf("the program sees\n%s", told)
	}
}

// The program gets the named variables with their current values, and no other variables.
func TestAProgramGetsTheNamedVariables(t *testing.T) {
	t.Setenv("TIDEWAITER_TEST_REGION", "eu-west-1")
	t.Setenv("TIDEWAITER_TEST_SECRET", "of-our-environment")
	file := filepath.Join(t.TempDir(), "told")
	_, _ = program(t, func(o *hook.Options) {
		o.Environment = []string{"TIDEWAITER_TEST_REGION", "TIDEWAITER_TEST_MISSING"}
	}, "tells", file).Authenticate(t.Context(), identity.NewPresented("ann", canary))
	told, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(told); !strings.Contains(text, "TIDEWAITER_TEST_REGION=eu-west-1") || strings.Contains(text, "of-our-environment") || strings.Contains(text, "TIDEWAITER_TEST_MISSING") {
		t.Errorf("the program sees\n%s", text)
	}
}

func TestASlowProgramIsKilledWithItsChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "child")
	var text []byte
	// The limit grows until it is long enough for the child to start.
	for limit := 500 * time.Millisecond; len(text) == 0; limit *= 2 {
		e := program(t, func(o *hook.Options) { o.Timeout = limit }, "slow", file)
		_, err := e.Authenticate(t.Context(), identity.NewPresented("ann", "x"))
		if err == nil || errors.Is(err, identity.ErrRejected) || !strings.Contains(err.Error(), "took too long") {
			t.Fatalf("%v, want an outage", err)
		}
		if text, err = os.ReadFile(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	// A killed child stays a zombie until it is reaped.
	await.Until(t, "the child ends", func(context.Context) error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil && !errors.Is(err, os.ErrNotExist) || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil {
			return nil
		}
		return fmt.Errorf("process %d still runs", pid)
	})
}

func TestAProgramDecides(t *testing.T) {
	r, d := request(t, &policy.Principal{Kind: policy.User, Name: "ann", Source: "s", ID: "1"})
	e := program(t, func(o *hook.Options) { o.Replace = true }, "authorizer")
	decided, err := e.Decide(t.Context(), r, d)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"team/app pull,push; pull,push 1 exec:script", "team/frozen ; push 2 freeze", "other ; pull 2 exec:script"}
	if diff := cmp.Diff(want, grantLines(decided)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	r.Principal = &policy.Principal{Kind: policy.User, Name: "bob", Source: "s", ID: "2"}
	if decided, err := e.Decide(t.Context(), r, d); err == nil || decided.Results != nil {
		t.Errorf("another exit code: %v, %v", grantLines(decided), err)
	}
}
