package external

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

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// What a program says by its exit code.
const (
	exitYes     = 0
	exitNo      = 1
	exitUnknown = 2 // of a name
)

// program is started for each question.
type program struct {
	path string
	args []string
	pass []string // names of variables
}

func newProgram(o Options) (*program, Problems) {
	var problems Problems
	path := o.Command[0]
	if !filepath.IsAbs(path) {
		problems = append(problems, Problem{"command", "the program's absolute path is wanted"})
	} else if info, err := os.Stat(path); err != nil {
		problems = append(problems, Problem{"command", err.Error()})
	} else if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		problems = append(problems, Problem{"command", path + " is no program"})
	}
	for field, value := range map[string]string{"ca": o.CA, "certificate": o.Certificate, "key": o.Key, "bearer_file": o.BearerFile} {
		if value != "" {
			problems = append(problems, Problem{field, "it is for a url"})
		}
	}
	if o.Find {
		problems = append(problems, Problem{"find", "it is for a url: a program is asked about names with passwords only"})
	}
	return &program{path, o.Command[1:], o.Environment}, problems
}

// authenticate writes the name, a space and the password. A name with a space could pose as another with
// a longer password, and a program that reads a line would take the password for a part of it.
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

// find is never asked: New refuses it. A password that is left out would be an empty one to a program.
func (p *program) find(context.Context, FindQuestion) (Answer, error) {
	return Answer{Answer: Unknown}, nil
}

// request is what docker_auth's ext_authz gets.
type request struct {
	Account string
	Type    string
	Name    string
	Service string
	IP      string
	Actions []string
	Labels  map[string][]string
}

// decide asks about one scope after the other: all of its actions, or none.
func (p *program) decide(ctx context.Context, q DecisionQuestion) (a DecisionAnswer, err error) {
	labels := labels(q.Principal)
	for _, s := range q.Scopes {
		granted := DecidedScope{Type: s.Type, Class: s.Class, Name: s.Name}
		if len(s.Open) > 0 {
			input, err := json.Marshal(request{q.Principal.Name, s.Type, s.Name, q.Registry, q.Address, s.Open, labels})
			if err != nil {
				return a, errors.New("the question cannot be written as JSON")
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

// labels are claims and groups, as docker_auth has them.
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

// run starts the program without a shell, in a process group of its own, with nothing of our environment but what is named,
// and ends all of the group when the time is over. Its standard error is thrown away: nobody can say
// what is in there.
func (p *program) run(ctx context.Context, input []byte) (code int, output []byte, err error) {
	c := exec.CommandContext(ctx, p.path, p.args...)
	c.Dir = string(filepath.Separator)
	c.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"} // of two, the later counts
	for _, name := range p.pass {
		if value, ok := os.LookupEnv(name); ok {
			c.Env = append(c.Env, name+"="+value)
		}
	}
	c.Stdin = bytes.NewReader(input)
	out := &limitedBuffer{left: maxAnswer}
	c.Stdout = out
	c.WaitDelay = time.Second // for children that hold its output
	group(c)
	err = c.Run()
	exit := (*exec.ExitError)(nil)
	switch {
	case ctx.Err() != nil:
		return 0, nil, fmt.Errorf("the program took too long: %w", ctx.Err())
	case errors.Is(err, exec.ErrWaitDelay):
		endGroup(c)
		return 0, nil, errors.New("the program left children behind")
	case out.over:
		return 0, nil, fmt.Errorf("the program says more than %d bytes", maxAnswer)
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil, nil
	case err != nil:
		return 0, nil, fmt.Errorf("running the program: %w", err)
	}
	return exitYes, out.kept.Bytes(), nil
}

// bounded keeps the first bytes that are written, and refuses more. It does not embed its buffer, whose
// ReadFrom would take everything.
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

// names are a set of actions, as text.
func names(a scope.Actions) []string {
	if a == 0 {
		return []string{}
	}
	return a.Names()
}
