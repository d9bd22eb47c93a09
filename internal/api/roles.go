package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
)

// role is a role of the database. Either it belongs to one namespace, or all rules and namespaces
// can use it.
type role struct {
	ID        string    `json:"id" doc:"The id, which is never reused" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Name      string    `json:"name" doc:"The name" example:"cleaner"`
	Namespace string    `json:"namespace,omitempty" doc:"The namespace of the role; absent: all rules and namespaces can use the role" example:"team"`
	Actions   []string  `json:"actions" nullable:"false" enum:"pull,push,delete,*,read,write" doc:"The actions that the role allows" example:"[\"pull\",\"delete\"]"`
	Lifetime  string    `json:"lifetime,omitempty" doc:"The maximum lifetime of tokens with an action that the role grants" example:"5m0s"`
	Created   time.Time `json:"created" doc:"The time of its creation"`
	Changed   time.Time `json:"changed" doc:"The time of the newest change"`
	Version   int64     `json:"version" doc:"Increases with each change" example:"1"`
}

// NewRole returns the JSON form of a role. If all namespaces can use the role, the namespace
// is "".
func NewRole(r *rulebook.Role, namespace string) role {
	j := role{r.ID, r.Name, namespace, explain.ActionNames(r.Actions), "", r.Created, r.Changed, r.Version}
	if r.Lifetime > 0 {
		j.Lifetime = r.Lifetime.String()
	}
	return j
}

func (r role) version() (path, id string, version int64) { return r.Name, r.ID, r.Version }

// RoleContent has the fields of a role that a request sets.
type RoleContent ruleset.Role

// TransformSchema adds the descriptions of ruleset to the schema.
func (RoleContent) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, f := range ruleset.RoleFields {
		describeField(s, f.Name, f.Means(), f.Example)
	}
	return s
}

// role returns the role to store.
func (c *RoleContent) role(name string) (rulebook.Role, error) {
	r, err := (*ruleset.Role)(c).Policy()
	return rulebook.Role{Name: name, Actions: r.Actions, Lifetime: r.Lifetime}, err
}

type newRoleBody struct {
	Name string `json:"name" maxLength:"64" doc:"Lower-case letters and digits, with single separators between them" example:"cleaner"`
	RoleContent
}

// roleKey identifies a role. For a role that all namespaces can use, the namespace is "".
type roleKey struct{ namespace, name string }

// RolePath is the part of a path that names a role for all namespaces.
type RolePath struct {
	Role string `path:"role" maxLength:"64" doc:"The name of the role" example:"cleaner"`
}

func (p RolePath) key() roleKey { return roleKey{"", p.Role} }

// NamespaceRolePath has the parts of a path that name a namespace and a role of this namespace.
type NamespaceRolePath struct {
	Name string `path:"name" maxLength:"200" doc:"The name of the namespace; write a slash as %2F" example:"team"`
	Role string `path:"role" maxLength:"64" doc:"The name of the role" example:"cleaner"`
}

func (p NamespaceRolePath) key() roleKey { return roleKey{p.Name, p.Role} }

type (
	newRole struct{ Body newRoleBody }

	setRole struct {
		RolePath
		Conditional
		Body RoleContent
	}
	changedRole struct {
		RolePath
		Conditional
	}

	newNamespaceRole struct {
		NamespacePath
		Body newRoleBody
	}
	setNamespaceRole struct {
		NamespaceRolePath
		Conditional
		Body RoleContent
	}
	changedNamespaceRole struct {
		NamespaceRolePath
		Conditional
	}
)

func (a *API) roleRoutes() {
	r := a.roles(tagPolicy)
	route(a, tagPolicy, operation("list-roles", "GET /roles", "List the roles in the database",
		"Sorted by name. Roles in files are not included."),
		func(ctx context.Context, caller admin.Actor, in *PageQuery) (*pageResponse[role], error) {
			return a.listRoles(ctx, caller, "", in.page())
		})
	create(r, operation("add-role", "POST /roles", "Add a role for all rules and namespaces", "Rules and members of all namespaces can have the role."),
		func(ctx context.Context, caller admin.Actor, in *newRole) (role, error) {
			return a.addRole(ctx, caller, "", &in.Body)
		})
	show[RolePath](r, operation("get-role", "GET /roles/{role}", "Get a role in the database", ""))
	change(r, operation("set-role", "PUT /roles/{role}", "Set the actions of a role",
		"The change applies to all rules and members that have the role. A change that would make a rule invalid is rejected."),
		func(ctx context.Context, caller admin.Actor, in *setRole, version int64) (role, error) {
			return a.setRole(ctx, caller, in.key(), &in.Body, version)
		})
	remove[changedRole](r, operation("delete-role", "DELETE /roles/{role}", "Delete a role that is not in use", ""), a.deleteRole)
}

func (a *API) namespaceRoleRoutes() {
	r := a.roles(tagNamespaces)
	route(a, tagNamespaces, operation("list-namespace-roles", "GET /namespaces/{name}/roles", "List the roles of a namespace",
		"Sorted by name. The roles owner, maintainer, writer and reader, which every namespace has, are not included."),
		func(ctx context.Context, caller admin.Actor, in *inNamespace) (*pageResponse[role], error) {
			return a.listRoles(ctx, caller, in.Name, in.page())
		})
	create(r, operation("add-namespace-role", "POST /namespaces/{name}/roles", "Add a role to a namespace",
		"Members of the namespace can have the role. The version of the namespace increases."),
		func(ctx context.Context, caller admin.Actor, in *newNamespaceRole) (role, error) {
			return a.addRole(ctx, caller, in.Name, &in.Body)
		})
	show[NamespaceRolePath](r, operation("get-namespace-role", "GET /namespaces/{name}/roles/{role}", "Get a role of a namespace", ""))
	change(r, operation("set-namespace-role", "PUT /namespaces/{name}/roles/{role}", "Set the actions of a role of a namespace",
		"The change applies to all members who have the role."),
		func(ctx context.Context, caller admin.Actor, in *setNamespaceRole, version int64) (role, error) {
			return a.setRole(ctx, caller, in.key(), &in.Body, version)
		})
	remove[changedNamespaceRole](r, operation("delete-namespace-role", "DELETE /namespaces/{name}/roles/{role}",
		"Delete an unused role of a namespace", ""), a.deleteRole)
}

// roles returns the resource that serves both kinds of roles.
func (a *API) roles(tag *huma.Tag) resource[roleKey, role, role] {
	return resource[roleKey, role, role]{a, tag, func(ctx context.Context, caller admin.Actor, k roleKey) (role, error) {
		r, err := a.Rulebook.Role(ctx, caller, k.namespace, k.name)
		return NewRole(&r, k.namespace), err
	}, func(r *role) role { return *r }}
}

func (a *API) listRoles(ctx context.Context, caller admin.Actor, namespace string, p admin.Page) (*pageResponse[role], error) {
	found, next, err := a.Rulebook.Roles(ctx, caller, namespace, p)
	return newPage(ctx, found, next, func(r *rulebook.Role) role { return NewRole(r, namespace) }, err)
}

func (a *API) addRole(ctx context.Context, caller admin.Actor, namespace string, in *newRoleBody) (role, error) {
	r, err := in.role(in.Name)
	if err == nil {
		r, err = a.Rulebook.AddRole(ctx, caller, namespace, r)
	}
	return NewRole(&r, namespace), err
}

func (a *API) setRole(ctx context.Context, caller admin.Actor, k roleKey, in *RoleContent, version int64) (role, error) {
	r, err := in.role(k.name)
	if err == nil {
		r, err = a.Rulebook.SetRole(ctx, caller, k.namespace, r, version)
	}
	return NewRole(&r, k.namespace), err
}

func (a *API) deleteRole(ctx context.Context, caller admin.Actor, k roleKey, version int64) error {
	return a.Rulebook.DeleteRole(ctx, caller, k.namespace, k.name, version)
}
