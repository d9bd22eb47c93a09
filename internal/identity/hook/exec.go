package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/tidewaiter/tidewaiter/internal/identity/setting"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Exit codes of a program.
const (
	exitYes     = 0
	exitNo      = 1
	exitUnknown = 2 // unknown name
)

// program is a peer that is started for each request.
type program struct {
	path string
	args []string
	pass []string // names of environment variables
}

func newProgram(o Options, problems *setting.Problems) *program {
	path := o.Command[0]
	if !filepath.IsAbs(path) {
		problems.Add("command", -1, "the path of the program must be absolute")
	} else if info, err := os.Stat(path); err != nil {
		problems.Add("command", -1, "%v", err)
	} else if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		problems.Add("command", -1, "%s is not an executable file", path)
	}
	return &program{path, o.Command[1:], o.Environment}
}

// authenticate writes the name, a space and the password to the program. A name with a space is
// not sent, because the program could read it as another name with a longer password. A password
// with a line break is not sent, because a program that reads one line would check only a part of
// the password.
func (p *program) authenticate(ctx context.Context, q Question) (Answer, error) {
	if strings.ContainsFunc(q.Name, unicode.IsSpace) {
		return Answer{Answer: Unknown}, nil
	}
	if strings.ContainsAny(q.Password, "\r\n") {
		return Answer{Answer: Rejected}, nil
	}
	code, output, err := p.run(ctx, []byte(q.Name+" "+q.Password))
	switch {
	case err != nil:
		return Answer{}, err
	case code == exitNo:
		return Answer{Answer: Rejected}, nil
	case code == exitUnknown:
		return Answer{Answer: Unknown}, nil
	case code != exitYes:
		return Answer{}, fmt.Errorf("the program ended with %d", code)
	}
	a := Answer{Answer: Accepted, Name: q.Name}
	if len(bytes.TrimSpace(output)) > 0 {
		var parsed struct {
			Labels map[string][]string `json:"labels"`
		}
		if err := json.Unmarshal(output, &parsed); err != nil {
			return Answer{}, errInvalidAnswer
		}
		a.Claims = make(map[string]any, len(parsed.Labels))
		for name, values := range parsed.Labels {
			a.Claims[name] = values
		}
		a.Groups = parsed.Labels["groups"]
	}
	if err := a.check(); err != nil {
		return Answer{}, err
	}
	return a, nil
}

// find reports every user as unknown and does not start the program, because a program would read
// the missing password as an empty password.
func (p *program) find(context.Context, FindQuestion) (Answer, error) {
	return Answer{Answer: Unknown}, nil
}

// request is the input of docker_auth's ext_authz.
type request struct {
	Account string
	Type    string
	Name    string
	Service string
	IP      string
	Actions []string
	Labels  map[string][]string
}

// decide starts the program for each scope separately. An answer applies to all actions of the
// scope.
func (p *program) decide(ctx context.Context, q DecisionQuestion) (a DecisionAnswer, err error) {
	labels := labels(q.Principal)
	for _, s := range q.Scopes {
		granted := DecidedScope{Resource: s.Resource}
		if len(s.Open) > 0 {
			input, err := json.Marshal(request{q.Principal.Name, s.Type, s.Name, q.Registry, q.Address, s.Open, labels})
			if err != nil {
				return a, errors.New("cannot encode the request as JSON")
			}
			code, _, err := p.run(ctx, input)
			switch {
			case err != nil:
				return a, err
			case code == exitYes:
				granted.Granted = s.Open
			case code != exitNo:
				return a, fmt.Errorf("the program ended with %d", code)
			}
		}
		a.Scopes = append(a.Scopes, granted)
	}
	return a, nil
}

// labels returns the claims and groups in the format of docker_auth.
func labels(p Principal) map[string][]string {
	all := make(map[string][]string, len(p.Claims)+1)
	for name, value := range p.Claims {
		many, list := value.([]any)
		if !list {
			many = []any{value}
		}
		for _, v := range many {
			if text, ok := policy.ClaimText(v); ok {
				all[name] = append(all[name], text)
			}
		}
	}
	if len(p.Groups) > 0 {
		all["groups"] = p.Groups
	}
	return all
}

// run starts the program without a shell, in its own process group. The program gets only the
// named environment variables. On timeout, the whole group is killed. Standard error is
// discarded, because it can contain secrets.
func (p *program) run(ctx context.Context, input []byte) (code int, output []byte, err error) {
	c := exec.CommandContext(ctx, p.path, p.args...)
	c.Dir = string(filepath.Separator)
	// If a variable occurs twice, the last value is used.
	c.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
	for _, name := range p.pass {
		if value, ok := os.LookupEnv(name); ok {
			c.Env = append(c.Env, name+"="+value)
		}
	}
	c.Stdin = bytes.NewReader(input)
	out := &limitedBuffer{left: maxAnswer}
	c.Stdout = out
	c.WaitDelay = time.Second // for child processes that do not close the output
	setProcessGroup(c)
	err = c.Run()
	exit := (*exec.ExitError)(nil)
	switch {
	case ctx.Err() != nil:
		return 0, nil, fmt.Errorf("the program took too long: %w", ctx.Err())
	case errors.Is(err, exec.ErrWaitDelay):
		endGroup(c)
		return 0, nil, errors.New("the program left child processes behind")
	case out.over:
		return 0, nil, fmt.Errorf("the output of the program is longer than %d bytes", maxAnswer)
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil, nil
	case err != nil:
		return 0, nil, fmt.Errorf("running the program: %w", err)
	}
	return exitYes, out.kept.Bytes(), nil
}

// limitedBuffer stores the written bytes, and fails when they exceed its limit. It does not embed
// bytes.Buffer, whose ReadFrom has no limit.
type limitedBuffer struct {
	kept bytes.Buffer
	left int
	over bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.over = true
		return 0, errors.New("too much output")
	}
	b.left -= len(p)
	return b.kept.Write(p)
}

// names returns the names of actions. The result is never nil, so its JSON is [] and not null.
func names(a scope.Actions) []string {
	if a == 0 {
		return []string{}
	}
	return a.Names()
}
