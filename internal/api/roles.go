package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
)

// Role is a role of the database: one for all, or one of a namespace.
type Role struct {
	ID        string    `json:"id" doc:"Never given to another" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Name      string    `json:"name" doc:"The name" example:"cleaner"`
	Namespace string    `json:"namespace,omitempty" doc:"Whose it is; left out: it is for all" example:"team"`
	Actions   []string  `json:"actions" nullable:"false" enum:"pull,push,delete,*,read,write" doc:"What it can do" example:"[\"pull\",\"delete\"]"`
	Lifetime  string    `json:"lifetime,omitempty" doc:"Of tokens with a grant by it, at most" example:"5m0s"`
	Created   time.Time `json:"created" doc:"When it was added"`
	Changed   time.Time `json:"changed" doc:"When it was last changed"`
	Version   int64     `json:"version" doc:"Raised by each change" example:"1"`
}

// NewRole is the form of a role of a namespace; "": of one for all.
func NewRole(r *rulebook.Role, namespace string) Role {
	form := Role{r.ID, r.Name, namespace, words(r.Actions), "", r.Created, r.Changed, r.Version}
	if r.Lifetime > 0 {
		form.Lifetime = r.Lifetime.String()
	}
	return form
}

// RoleContent is what a role can do.
type RoleContent ruleset.Role

// TransformSchema adds to the schema what ruleset says of the fields.
func (RoleContent) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, f := range ruleset.RoleFields {
		describe(s, f.Name, f.Means(), f.Example)
	}
	return s
}

// role returns the role as it is stored.
func (c *RoleContent) role(name string) (rulebook.Role, error) {
	r, err := (*ruleset.Role)(c).Policy()
	return rulebook.Role{Name: name, Actions: r.Actions, Lifetime: r.Lifetime}, err
}

// newRoleBody is a role to add.
type newRoleBody struct {
	Name string `json:"name" maxLength:"64" doc:"Lower-case letters and digits, with single separators between them" example:"cleaner"`
	RoleContent
}

// OfRole is a role in the path.
type OfRole struct {
	Role string `path:"role" maxLength:"64" doc:"The name of the role" example:"cleaner"`
}

// What the routes of roles for all take.
type (
	newRole struct{ Body newRoleBody }

	settingRole struct {
		OfRole
		Conditional
		Body RoleContent
	}
	changedRole struct {
		OfRole
		Conditional
	}
)

// The same, of a namespace.
type (
	rolesOf struct {
		OfNamespace
		Paged
	}
	newRoleOf struct {
		OfNamespace
		Body newRoleBody
	}
	roleOf struct {
		OfNamespace
		OfRole
	}
	settingRoleOf struct {
		OfNamespace
		OfRole
		Conditional
		Body RoleContent
	}
	changedRoleOf struct {
		OfNamespace
		OfRole
		Conditional
	}
)

func (a *API) roleRoutes() {
	tags := []string{tagPolicy}
	route(a, huma.Operation{
		OperationID: "list-roles", Method: http.MethodGet, Path: "/roles", Tags: tags,
		Summary: "List the roles of the database", Description: "In the order of their names. Those of files are in the files.",
	}, func(ctx context.Context, by Actor, in *Paged) (*list[Role], error) {
		return a.listRoles(ctx, by, "", *in)
	})
	route(a, huma.Operation{
		OperationID: "add-role", Method: http.MethodPost, Path: "/roles", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Add a role for all", Description: "Rules and members of namespaces may have it.",
	}, func(ctx context.Context, by Actor, in *newRole) (*made[Role], error) {
		return a.addRole(ctx, by, "", &in.Body)
	})
	route(a, huma.Operation{
		OperationID: "get-role", Method: http.MethodGet, Path: "/roles/{role}", Tags: tags, Summary: "Show a role of the database",
	}, func(ctx context.Context, by Actor, in *OfRole) (*one[Role], error) {
		return a.getRole(ctx, by, "", in.Role)
	})
	route(a, huma.Operation{
		OperationID: "set-role", Method: http.MethodPut, Path: "/roles/{role}", Tags: tags,
		Summary: "Say what a role can do", Description: "What names it changes with it: what would make a mistake of a rule is refused.",
	}, func(ctx context.Context, by Actor, in *settingRole) (*one[Role], error) {
		return a.setRole(ctx, by, "", in.Role, in.Conditional, &in.Body)
	})
	route(a, huma.Operation{
		OperationID: "delete-role", Method: http.MethodDelete, Path: "/roles/{role}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Delete a role that nothing names",
	}, func(ctx context.Context, by Actor, in *changedRole) (*struct{}, error) {
		return a.deleteRole(ctx, by, "", in.Role, in.Conditional)
	})
}

func (a *API) namespaceRoleRoutes() {
	const path = "/namespaces/{name}/roles"
	tags := []string{tagNamespaces}
	route(a, huma.Operation{
		OperationID: "list-namespace-roles", Method: http.MethodGet, Path: path, Tags: tags,
		Summary: "List the roles of a namespace", Description: "Its own, in the order of their names. Beside them every namespace has owner, maintainer, writer and reader.",
	}, func(ctx context.Context, by Actor, in *rolesOf) (*list[Role], error) {
		return a.listRoles(ctx, by, in.Name, in.Paged)
	})
	route(a, huma.Operation{
		OperationID: "add-namespace-role", Method: http.MethodPost, Path: path, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Add a role to a namespace", Description: "Its members may have it. The namespace has another version then.",
	}, func(ctx context.Context, by Actor, in *newRoleOf) (*made[Role], error) {
		return a.addRole(ctx, by, in.Name, &in.Body)
	})
	route(a, huma.Operation{
		OperationID: "get-namespace-role", Method: http.MethodGet, Path: path + "/{role}", Tags: tags, Summary: "Show a role of a namespace",
	}, func(ctx context.Context, by Actor, in *roleOf) (*one[Role], error) {
		return a.getRole(ctx, by, in.Name, in.Role)
	})
	route(a, huma.Operation{
		OperationID: "set-namespace-role", Method: http.MethodPut, Path: path + "/{role}", Tags: tags,
		Summary: "Say what a role of a namespace can do", Description: "Its members who have it can do that from now on.",
	}, func(ctx context.Context, by Actor, in *settingRoleOf) (*one[Role], error) {
		return a.setRole(ctx, by, in.Name, in.Role, in.Conditional, &in.Body)
	})
	route(a, huma.Operation{
		OperationID: "delete-namespace-role", Method: http.MethodDelete, Path: path + "/{role}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Delete a role of a namespace that no member has",
	}, func(ctx context.Context, by Actor, in *changedRoleOf) (*struct{}, error) {
		return a.deleteRole(ctx, by, in.Name, in.Role, in.Conditional)
	})
}

func (a *API) listRoles(ctx context.Context, by Actor, namespace string, p Paged) (*list[Role], error) {
	found, next, err := a.Rulebook.Roles(ctx, by, namespace, p.page())
	return listed(ctx, found, next, func(r *rulebook.Role) Role { return NewRole(r, namespace) }, err)
}

func (a *API) addRole(ctx context.Context, by Actor, namespace string, said *newRoleBody) (*made[Role], error) {
	r, err := said.role(said.Name)
	if err != nil {
		return nil, err
	}
	at := "/roles/"
	if namespace != "" {
		at = "/namespaces/" + segment(namespace) + at
	}
	r, err = a.Rulebook.AddRole(ctx, by, namespace, r)
	return created(at+segment(r.Name), r.ID, r.Version, NewRole(&r, namespace), err)
}

func (a *API) getRole(ctx context.Context, by Actor, namespace, name string) (*one[Role], error) {
	r, err := a.Rulebook.Role(ctx, by, namespace, name)
	return tagged(r.ID, r.Version, NewRole(&r, namespace), err)
}

func (a *API) setRole(ctx context.Context, by Actor, namespace, name string, seen Conditional, said *RoleContent) (*one[Role], error) {
	r, err := said.role(name)
	if err != nil {
		return nil, err
	}
	by, version, err := seen.based(by, a.seenRole(ctx, by, namespace, name))
	if err != nil {
		return nil, err
	}
	r, err = a.Rulebook.SetRole(ctx, by, namespace, r, version)
	return tagged(r.ID, r.Version, NewRole(&r, namespace), err)
}

func (a *API) deleteRole(ctx context.Context, by Actor, namespace, name string, seen Conditional) (*struct{}, error) {
	by, version, err := seen.based(by, a.seenRole(ctx, by, namespace, name))
	if err != nil {
		return nil, err
	}
	return nil, a.Rulebook.DeleteRole(ctx, by, namespace, name, version)
}

func (a *API) seenRole(ctx context.Context, by Actor, namespace, name string) func() (string, int64, error) {
	return func() (string, int64, error) {
		r, err := a.Rulebook.Role(ctx, by, namespace, name)
		return r.ID, r.Version, err
	}
}
