package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/scope"
)

// RuleContent is what a rule says, in the words of tidewaiter.yaml.
type RuleContent ruleset.Rule

// TransformSchema adds to the schema what ruleset says of the fields.
func (RuleContent) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, f := range ruleset.Fields {
		describe(s, f.Name, f.Means(), f.Example)
	}
	return s
}

// describe adds to a schema what ruleset says of a field. Words that are checked by ruleset, which
// says what was probably meant, are listed for readers alone.
func describe(s *huma.Schema, name, means string, example any) {
	p := s.Properties[name]
	if p == nil {
		return // a reference to the schema that has it
	}
	p.Description = strings.ReplaceAll(means, "[Policy](policy.md#conditions)", "Policy")
	if example != nil {
		p.Examples = []any{example}
	}
	p.Nullable = false
	words := map[string][]string{"effect": ruleset.Effects, "actions": ruleset.Actions}[name]
	switch p.Type {
	case huma.TypeArray:
		most := rulebook.MaxItems
		p.MaxItems = &most
		p = p.Items
	case huma.TypeString:
		if words != nil {
			break
		}
		most := rulebook.MaxBytes(name)
		p.MaxLength = &most
	}
	if words != nil {
		p.Extensions = map[string]any{"enum": words}
	}
}

// Rule is a rule of the database.
type Rule struct {
	ID string `json:"id" doc:"Never given to another" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	RuleContent
	Created time.Time `json:"created" doc:"When it was added"`
	Changed time.Time `json:"changed" doc:"When it was last changed"`
	Version int64     `json:"version" doc:"Raised by each change" example:"1"`
}

// NewRule is the form of a rule.
func NewRule(r *rulebook.Rule) Rule {
	return Rule{r.ID, RuleContent(r.Content), r.Created, r.Changed, r.Version}
}

// writtenRule is a RuleContent in a request. What is there and empty differs from what is not
// there.
type writtenRule struct{ RuleContent }

// UnmarshalJSON is part of json.Unmarshaler.
func (w *writtenRule) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &w.RuleContent); err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if string(fields[field]) == `""` {
			w.Empty = append(w.Empty, field)
		}
	}
	return nil
}

// Schema is that of a RuleContent.
func (writtenRule) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[RuleContent](), true, "")
}

// OfRule is a rule in the path.
type OfRule struct {
	Name string `path:"name" maxLength:"200" doc:"The name; a slash in it is written %2F, and a space %20" example:"freeze"`
}

// changedRule is a rule to delete.
type changedRule struct {
	OfRule
	Conditional
}

// newRule is a rule to add.
type newRule struct{ Body writtenRule }

// replacing is a rule to replace.
type replacing struct {
	OfRule
	Conditional
	Body writtenRule
}

// Policy is what is in force.
type Policy struct {
	Version string    `json:"version" doc:"Its hash, which decisions bear"`
	Rules   int       `json:"rules" doc:"How many rules it has, of files, database and namespaces"`
	Loaded  time.Time `json:"loaded" doc:"When it came into force here"`
	Problem string    `json:"problem,omitempty" doc:"Why what files and database say now is not in force; left out if it is"`
}

func (a *API) ruleRoutes() {
	tags := []string{tagPolicy}
	answer := func(r rulebook.Rule, err error) (*one[Rule], error) { return tagged(r.ID, r.Version, NewRule(&r), err) }
	seen := func(ctx context.Context, by Actor, name string) func() (string, int64, error) {
		return func() (string, int64, error) {
			r, err := a.Rulebook.Rule(ctx, by, name)
			return r.ID, r.Version, err
		}
	}
	route(a, huma.Operation{
		OperationID: "get-policy", Method: http.MethodGet, Path: "/policy", Tags: tags, Summary: "Show which policy is in force",
	}, func(_ context.Context, by Actor, _ *struct{}) (*body[Policy], error) {
		if !a.Rulebook.May(by, rulebook.RightPolicy, scope.Read) {
			return nil, rulebook.Requires(rulebook.RightPolicy, scope.Read)
		}
		s := a.Rulebook.Status()
		out := Policy{Version: s.Policy.ID(), Rules: s.Policy.Len(), Loaded: utc(s.Loaded)}
		if s.Problem != nil {
			out.Problem = s.Problem.Error()
		}
		return &body[Policy]{out}, nil
	})
	route(a, huma.Operation{
		OperationID: "list-rules", Method: http.MethodGet, Path: "/rules", Tags: tags,
		Summary: "List the rules of the database", Description: "In the order of their names. Those of files are in the files.",
	}, func(ctx context.Context, by Actor, in *Paged) (*list[Rule], error) {
		found, next, err := a.Rulebook.Rules(ctx, by, in.page())
		return listed(ctx, found, next, NewRule, err)
	})
	route(a, huma.Operation{
		OperationID: "add-rule", Method: http.MethodPost, Path: "/rules", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Add a rule", Description: "It is in force when it is answered, and on other replicas within two seconds. All errors are reported at once.",
	}, func(ctx context.Context, by Actor, in *newRule) (*made[Rule], error) {
		r, err := a.Rulebook.AddRule(ctx, by, rulebook.Content(in.Body.RuleContent))
		return created("/rules/"+segment(r.Name), r.ID, r.Version, NewRule(&r), err)
	})
	route(a, huma.Operation{
		OperationID: "get-rule", Method: http.MethodGet, Path: "/rules/{name}", Tags: tags, Summary: "Show a rule of the database",
	}, func(ctx context.Context, by Actor, in *OfRule) (*one[Rule], error) {
		return answer(a.Rulebook.Rule(ctx, by, in.Name))
	})
	route(a, huma.Operation{
		OperationID: "set-rule", Method: http.MethodPut, Path: "/rules/{name}", Tags: tags,
		Summary: "Replace what a rule says", Description: "It may have another name then.",
	}, func(ctx context.Context, by Actor, in *replacing) (*one[Rule], error) {
		by, version, err := in.based(by, seen(ctx, by, in.Name))
		if err != nil {
			return nil, err
		}
		return answer(a.Rulebook.SetRule(ctx, by, in.Name, rulebook.Content(in.Body.RuleContent), version))
	})
	route(a, huma.Operation{
		OperationID: "delete-rule", Method: http.MethodDelete, Path: "/rules/{name}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Delete a rule of the database",
	}, func(ctx context.Context, by Actor, in *changedRule) (*struct{}, error) {
		by, version, err := in.based(by, seen(ctx, by, in.Name))
		if err != nil {
			return nil, err
		}
		return nil, a.Rulebook.DeleteRule(ctx, by, in.Name, version)
	})
}
