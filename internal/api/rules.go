package api

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/scope"
)

// RuleContent has the fields of a rule, as in tidewaiter.yaml.
type RuleContent ruleset.Rule

// TransformSchema adds the descriptions of ruleset to the schema.
func (RuleContent) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, f := range ruleset.Fields {
		describeField(s, f.Name, f.Means(), f.Example)
	}
	return s
}

// describeField adds the description of a field to a schema. The possible values of effect and
// actions are in an extension of the schema, so that huma does not check them. Package ruleset
// checks them, and suggests the nearest value.
func describeField(s *huma.Schema, name, means string, example any) {
	p := s.Properties[name]
	if p == nil {
		return // the schema is a reference
	}
	p.Description = strings.ReplaceAll(means, "[Policy](policy.md#conditions)", "Policy")
	if example != nil {
		p.Examples = []any{example}
	}
	p.Nullable = false
	words := map[string][]string{"effect": ruleset.Effects, "actions": ruleset.Actions}[name]
	switch p.Type {
	case huma.TypeArray:
		limit := rulebook.MaxItems
		p.MaxItems = &limit
		p = p.Items
	case huma.TypeString:
		if words != nil {
			break
		}
		limit := rulebook.MaxBytes(name)
		p.MaxLength = &limit
	}
	if words != nil {
		p.Extensions = map[string]any{"enum": words}
	}
}

// rule is a rule of the database.
type rule struct {
	ID string `json:"id" doc:"The id, which is never reused" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	RuleContent
	Created time.Time `json:"created" doc:"The time of its creation"`
	Changed time.Time `json:"changed" doc:"The time of the newest change"`
	Version int64     `json:"version" doc:"Increases with each change" example:"1"`
}

// NewRule returns the JSON form of a rule.
func NewRule(r *rulebook.Rule) rule {
	return rule{r.ID, RuleContent(r.Content), r.Created, r.Changed, r.Version}
}

func (r rule) version() (path, id string, version int64) { return r.Name, r.ID, r.Version }

// ruleBody is the RuleContent of a request. It distinguishes empty fields from absent fields.
type ruleBody struct{ RuleContent }

// UnmarshalJSON implements json.Unmarshaler.
func (b *ruleBody) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &b.RuleContent); err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if string(fields[field]) == `""` {
			b.Empty = append(b.Empty, field)
		}
	}
	return nil
}

// Schema returns the schema of RuleContent.
func (ruleBody) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[RuleContent](), true, "")
}

// RulePath is the name of a rule in the path.
type RulePath struct {
	Name string `path:"name" maxLength:"200" doc:"The name; write a slash as %2F and a space as %20" example:"freeze"`
}

func (p RulePath) key() string { return p.Name }

type newRule struct{ Body ruleBody }

type setRule struct {
	RulePath
	Conditional
	Body ruleBody
}

type changedRule struct {
	RulePath
	Conditional
}

// currentPolicy describes the policy in effect.
type currentPolicy struct {
	Version string    `json:"version" doc:"The hash of the policy, which decisions record"`
	Rules   int       `json:"rules" doc:"The number of rules, from files, database and namespaces"`
	Loaded  time.Time `json:"loaded" doc:"The time when this replica loaded the policy"`
	Problem string    `json:"problem,omitempty" doc:"Why the current files and database are not in effect; absent if they are"`
}

func (a *API) ruleRoutes() {
	r := resource[string, rulebook.Rule, rule]{a, tagPolicy, a.Rulebook.Rule, NewRule}
	contentRoute(a, tagPolicy, operation("get-policy", "GET /policy", "Get the version of the policy in effect", ""),
		func(_ context.Context, caller admin.Actor, _ *struct{}) (out currentPolicy, err error) {
			if !a.Rulebook.May(caller, admin.RightPolicy, scope.Read) {
				return out, admin.Requires(admin.RightPolicy, scope.Read)
			}
			s := a.Rulebook.Status()
			out = currentPolicy{Version: s.Policy.ID(), Rules: s.Policy.Len(), Loaded: inUTC(s.Loaded)}
			if s.Problem != nil {
				out.Problem = s.Problem.Error()
			}
			return out, nil
		})
	a.historyRoutes()
	listAll(a, tagPolicy, operation("list-rules", "GET /rules", "List the rules in the database",
		"Sorted by name. Rules in files are not included."), NewRule, a.Rulebook.Rules)
	create(r, operation("add-rule", "POST /rules", "Add a rule",
		"The rule is in effect when the response arrives, and in other replicas within two seconds. All errors are reported at once."),
		func(ctx context.Context, caller admin.Actor, in *newRule) (rule, error) {
			r, err := a.Rulebook.AddRule(ctx, caller, rulebook.Content(in.Body.RuleContent))
			return NewRule(&r), err
		})
	show[RulePath](r, operation("get-rule", "GET /rules/{name}", "Get a rule in the database", ""))
	change(r, operation("set-rule", "PUT /rules/{name}", "Replace a rule", "The request can also rename the rule."),
		func(ctx context.Context, caller admin.Actor, in *setRule, version int64) (rulebook.Rule, error) {
			return a.Rulebook.SetRule(ctx, caller, in.Name, rulebook.Content(in.Body.RuleContent), version)
		})
	remove[changedRule](r, operation("delete-rule", "DELETE /rules/{name}", "Delete a rule in the database", ""), a.Rulebook.DeleteRule)
}
