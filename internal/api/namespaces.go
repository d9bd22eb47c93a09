package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

// Namespace is all repositories below a name, and whose they are.
type Namespace struct {
	ID         string              `json:"id" doc:"Never given to another" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Name       string              `json:"name" doc:"The name: all below team/ is in team" example:"team"`
	Visibility rulebook.Visibility `json:"visibility" enum:"private,internal,public" doc:"Who else may pull: nobody, who is signed in, or anyone"`
	Members    int                 `json:"members" doc:"How many members it has"`
	Created    time.Time           `json:"created" doc:"When it was made"`
	Changed    time.Time           `json:"changed" doc:"When it was last changed"`
	Version    int64               `json:"version" doc:"Raised by each change, also of its members and roles" example:"1"`
}

// NewNamespace is the form of a namespace.
func NewNamespace(n *rulebook.Namespace) Namespace {
	return Namespace{n.ID, n.Name, n.Visibility, n.Size, n.Created, n.Changed, n.Version}
}

// NamespaceMember is who has a role in a namespace.
type NamespaceMember struct {
	Subject string    `json:"subject" doc:"Who, as rules name them" example:"group:developers"`
	Role    string    `json:"role" doc:"owner, maintainer, writer, reader, or a role of the database" example:"writer"`
	Created time.Time `json:"created" doc:"Since when"`
}

// NewNamespaceMember is the form of a member.
func NewNamespaceMember(m *rulebook.Member) NamespaceMember { return NamespaceMember(*m) }

// newNamespace is a namespace to make.
type newNamespace struct {
	Body struct {
		Name       string              `json:"name" maxLength:"200" doc:"Path parts of repositories" example:"team"`
		Visibility rulebook.Visibility `json:"visibility,omitempty" enum:"private,internal,public" doc:"Who else may pull; left out: private"`
		Owners     []string            `json:"owners,omitempty" nullable:"false" maxItems:"100" maxLength:"300" doc:"Who looks after it, as rules name them" example:"[\"user:alice\"]"`
	}
}

// OfNamespace is a namespace in the path.
type OfNamespace struct {
	Name string `path:"name" maxLength:"200" doc:"The name; a slash in it is written %2F" example:"team"`
}

// changedNamespace is a namespace to change or delete.
type changedNamespace struct {
	OfNamespace
	Conditional
}

// seeing is who else may pull.
type seeing struct {
	OfNamespace
	Conditional
	Body struct {
		Visibility rulebook.Visibility `json:"visibility" enum:"private,internal,public" doc:"Who else may pull"`
	}
}

// membersOf asks for a page of a namespace's members.
type membersOf struct {
	OfNamespace
	Paged
}

// OfMember is somebody in the path.
type OfMember struct {
	Subject string `path:"subject" maxLength:"300" doc:"Who, as rules name them" example:"user:alice"`
}

// joining is a role that somebody is given.
type joining struct {
	OfNamespace
	OfMember
	Conditional
	Body struct {
		Role string `json:"role" maxLength:"64" doc:"In place of the one that they may have" example:"writer"`
	}
}

// leaving is a membership to end.
type leaving struct {
	OfNamespace
	OfMember
	Conditional
}

func (a *API) namespaceRoutes() {
	tags := []string{tagNamespaces}
	answer := func(n rulebook.Namespace, err error) (*one[Namespace], error) {
		return tagged(n.ID, n.Version, NewNamespace(&n), err)
	}
	seen := func(ctx context.Context, by Actor, name string) func() (string, int64, error) {
		return func() (string, int64, error) {
			n, err := a.Rulebook.Namespace(ctx, by, name)
			return n.ID, n.Version, err
		}
	}
	route(a, huma.Operation{
		OperationID: "list-namespaces", Method: http.MethodGet, Path: "/namespaces", Tags: tags,
		Summary: "List the namespaces", Description: "Those that the caller may see, in the order of their names.",
	}, func(ctx context.Context, by Actor, in *Paged) (*list[Namespace], error) {
		found, next, err := a.Rulebook.Namespaces(ctx, by, in.page())
		return listed(ctx, found, next, NewNamespace, err)
	})
	route(a, huma.Operation{
		OperationID: "add-namespace", Method: http.MethodPost, Path: "/namespaces", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Make a namespace", Description: "None is made inside another or around one.",
	}, func(ctx context.Context, by Actor, in *newNamespace) (*made[Namespace], error) {
		n, err := a.Rulebook.AddNamespace(ctx, by, rulebook.NewNamespace{Name: in.Body.Name, Visibility: in.Body.Visibility, Owners: in.Body.Owners})
		return created("/namespaces/"+segment(n.Name), n.ID, n.Version, NewNamespace(&n), err)
	})
	route(a, huma.Operation{
		OperationID: "get-namespace", Method: http.MethodGet, Path: "/namespaces/{name}", Tags: tags, Summary: "Show a namespace",
	}, func(ctx context.Context, by Actor, in *OfNamespace) (*one[Namespace], error) {
		return answer(a.Rulebook.Namespace(ctx, by, in.Name))
	})
	route(a, huma.Operation{
		OperationID: "set-visibility", Method: http.MethodPut, Path: "/namespaces/{name}/visibility", Tags: tags, Summary: "Say who else may pull from a namespace",
	}, func(ctx context.Context, by Actor, in *seeing) (*one[Namespace], error) {
		by, version, err := in.based(by, seen(ctx, by, in.Name))
		if err != nil {
			return nil, err
		}
		return answer(a.Rulebook.SetVisibility(ctx, by, in.Name, in.Body.Visibility, version))
	})
	route(a, huma.Operation{
		OperationID: "delete-namespace", Method: http.MethodDelete, Path: "/namespaces/{name}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Delete a namespace", Description: "With its members, roles and robots. What is in the registry stays there.",
	}, func(ctx context.Context, by Actor, in *changedNamespace) (*struct{}, error) {
		by, version, err := in.based(by, seen(ctx, by, in.Name))
		if err != nil {
			return nil, err
		}
		return nil, a.Rulebook.DeleteNamespace(ctx, by, in.Name, version)
	})
	route(a, huma.Operation{
		OperationID: "list-namespace-members", Method: http.MethodGet, Path: "/namespaces/{name}/members", Tags: tags,
		Summary: "List the members of a namespace", Description: "In the order of their subjects.",
	}, func(ctx context.Context, by Actor, in *membersOf) (*list[NamespaceMember], error) {
		found, next, err := a.Rulebook.Members(ctx, by, in.Name, in.page())
		return listed(ctx, found, next, NewNamespaceMember, err)
	})
	route(a, huma.Operation{
		OperationID: "set-namespace-member", Method: http.MethodPut, Path: "/namespaces/{name}/members/{subject}", Tags: tags,
		Summary: "Give somebody a role in a namespace", Description: "Its owners may, and can give no more than they have there.",
	}, func(ctx context.Context, by Actor, in *joining) (*one[Namespace], error) {
		by, version, err := in.based(by, seen(ctx, by, in.Name))
		if err != nil {
			return nil, err
		}
		return answer(a.Rulebook.SetMember(ctx, by, in.Name, in.Subject, in.Body.Role, version))
	})
	route(a, huma.Operation{
		OperationID: "remove-namespace-member", Method: http.MethodDelete, Path: "/namespaces/{name}/members/{subject}", Tags: tags,
		Summary: "End a membership of a namespace", Description: "Not being a member is success.",
	}, func(ctx context.Context, by Actor, in *leaving) (*one[Namespace], error) {
		by, version, err := in.based(by, seen(ctx, by, in.Name))
		if err != nil {
			return nil, err
		}
		return answer(a.Rulebook.RemoveMember(ctx, by, in.Name, in.Subject, version))
	})
}
