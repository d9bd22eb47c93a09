package api

import (
	"context"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

// namespace is the JSON form of a namespace: the repositories below a name.
type namespace struct {
	ID         string              `json:"id" doc:"The id, which is never reused" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Name       string              `json:"name" doc:"The name; the namespace team contains all repositories below team/" example:"team"`
	Visibility rulebook.Visibility `json:"visibility" enum:"private,internal,public" doc:"Who may pull: only members, everybody who is signed in, or everybody"`
	Members    int                 `json:"members" doc:"The number of members"`
	Created    time.Time           `json:"created" doc:"When it was created"`
	Changed    time.Time           `json:"changed" doc:"When it was last changed"`
	Version    int64               `json:"version" doc:"Increases with each change of the namespace, its members and its roles" example:"1"`
}

// NewNamespace returns the JSON form of a namespace.
func NewNamespace(n *rulebook.Namespace) namespace {
	return namespace{n.ID, n.Name, n.Visibility, n.Size, n.Created, n.Changed, n.Version}
}

func (n namespace) version() (path, id string, version int64) { return n.Name, n.ID, n.Version }

// namespaceMember is a subject with a role in a namespace.
type namespaceMember struct {
	Subject string    `json:"subject" doc:"The subject, as in rules" example:"group:developers"`
	Role    string    `json:"role" doc:"owner, maintainer, writer, reader, or a role of the database" example:"writer"`
	Created time.Time `json:"created" doc:"When the subject became a member"`
}

// NewNamespaceMember returns the JSON form of a member.
func NewNamespaceMember(m *rulebook.Member) namespaceMember { return namespaceMember(*m) }

type newNamespace struct {
	Body struct {
		Name       string              `json:"name" maxLength:"200" doc:"The first path parts of the repositories" example:"team"`
		Visibility rulebook.Visibility `json:"visibility,omitempty" enum:"private,internal,public" doc:"Who else may pull; absent: private"`
		Owners     []string            `json:"owners,omitempty" nullable:"false" maxItems:"100" maxLength:"300" doc:"The subjects that manage the namespace, as in rules" example:"[\"user:alice\"]"`
	}
}

// NamespacePath is the name of a namespace in the path.
type NamespacePath struct {
	Name string `path:"name" maxLength:"200" doc:"The name of the namespace; write a slash as %2F" example:"team"`
}

func (p NamespacePath) key() string { return p.Name }

type changedNamespace struct {
	NamespacePath
	Conditional
}

type setVisibility struct {
	NamespacePath
	Conditional
	Body struct {
		Visibility rulebook.Visibility `json:"visibility" enum:"private,internal,public" doc:"Who else may pull"`
	}
}

// inNamespace selects a page of a list of one namespace, such as its members.
type inNamespace struct {
	NamespacePath
	PageQuery
}

type setNamespaceMember struct {
	NamespacePath
	Subject string `path:"subject" maxLength:"300" doc:"The subject, as in rules" example:"user:alice"`
	Conditional
	Body struct {
		Role string `json:"role" maxLength:"64" doc:"The role, which replaces the member's current one" example:"writer"`
	}
}

type removeNamespaceMember struct {
	NamespacePath
	Subject string `path:"subject" maxLength:"300" doc:"The subject, as in rules" example:"user:alice"`
	Conditional
}

func (a *API) namespaceRoutes() {
	r := resource[string, rulebook.Namespace, namespace]{a, tagNamespaces, a.Rulebook.Namespace, NewNamespace}
	listAll(a, tagNamespaces, operation("list-namespaces", "GET /namespaces", "List namespaces",
		"The namespaces that the caller may see, sorted by name."), NewNamespace, a.Rulebook.Namespaces)
	create(r, operation("add-namespace", "POST /namespaces", "Add a namespace", "Namespaces cannot be nested."),
		func(ctx context.Context, caller admin.Actor, in *newNamespace) (namespace, error) {
			n, err := a.Rulebook.AddNamespace(ctx, caller, rulebook.NewNamespace(in.Body))
			return NewNamespace(&n), err
		})
	show[NamespacePath](r, operation("get-namespace", "GET /namespaces/{name}", "Get a namespace", ""))
	change(r, operation("set-visibility", "PUT /namespaces/{name}/visibility", "Set who else may pull from a namespace", ""),
		func(ctx context.Context, caller admin.Actor, in *setVisibility, version int64) (rulebook.Namespace, error) {
			return a.Rulebook.SetVisibility(ctx, caller, in.Name, in.Body.Visibility, version)
		})
	remove[changedNamespace](r, operation("delete-namespace", "DELETE /namespaces/{name}", "Delete a namespace",
		"Its members, roles and robots are deleted too. The content of the registry is not deleted."), a.Rulebook.DeleteNamespace)
	listIn[inNamespace](a, tagNamespaces, operation("list-namespace-members", "GET /namespaces/{name}/members",
		"List the members of a namespace", "Sorted by subject."), NewNamespaceMember, a.Rulebook.Members)
	change(r, operation("set-namespace-member", "PUT /namespaces/{name}/members/{subject}", "Give a subject a role in a namespace",
		"An owner of the namespace may give a role only if the owner may perform every action of the role."),
		func(ctx context.Context, caller admin.Actor, in *setNamespaceMember, version int64) (rulebook.Namespace, error) {
			return a.Rulebook.SetMember(ctx, caller, in.Name, in.Subject, in.Body.Role, version)
		})
	change(r, operation("remove-namespace-member", "DELETE /namespaces/{name}/members/{subject}", "Remove a member from a namespace",
		"Removing a subject that is not a member changes nothing."),
		func(ctx context.Context, caller admin.Actor, in *removeNamespaceMember, version int64) (rulebook.Namespace, error) {
			return a.Rulebook.RemoveMember(ctx, caller, in.Name, in.Subject, version)
		})
}
