package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// newGroup is a group to add.
type newGroup struct {
	Repeatable
	Body struct {
		Name string `json:"name" maxLength:"64" doc:"Lower-case letters and digits, with single separators between them" example:"developers"`
	}
}

// members asks for a page of a group's members.
type members struct {
	Named
	Paged
}

// member is a membership.
type member struct {
	Named
	Login string `path:"login" maxLength:"80" doc:"What the member signs in as: alice, robot+ci" example:"robot+ci"`
	Conditional
}

// Member is somebody in a group.
type Member struct {
	Login string `json:"login" doc:"What it signs in as" example:"alice"`
}

func (a *API) groupRoutes() {
	tags := []string{tagGroups}
	route(a, huma.Operation{
		OperationID: "list-groups", Method: http.MethodGet, Path: "/groups", Tags: tags,
		Summary: "List the groups", Description: "In the order of their names.",
	}, func(ctx context.Context, by Actor, in *Paged) (*list[Group], error) {
		found, next, err := a.Accounts.Groups(ctx, by, in.page())
		return listed(ctx, found, next, NewGroup, err)
	})
	route(a, huma.Operation{
		OperationID: "add-group", Method: http.MethodPost, Path: "/groups", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Add a group", Description: "Without members. Rules of the policy name it as group:NAME.",
	}, func(ctx context.Context, by Actor, in *newGroup) (*made[Group], error) {
		g, err := a.Accounts.AddGroup(ctx, in.by(by), in.Body.Name)
		return created("/groups/"+g.Name, g.ID, g.Version, NewGroup(&g), err)
	})
	route(a, huma.Operation{
		OperationID: "get-group", Method: http.MethodGet, Path: "/groups/{name}", Tags: tags,
		Summary: "Show a group",
	}, func(ctx context.Context, by Actor, in *Named) (*one[Group], error) {
		g, err := a.Accounts.Group(ctx, by, in.Name)
		return tagged(g.ID, g.Version, NewGroup(&g), err)
	})
	route(a, huma.Operation{
		OperationID: "delete-group", Method: http.MethodDelete, Path: "/groups/{name}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Delete a group", Description: "Its members lose what it gave them, and stay what else they are.",
	}, func(ctx context.Context, by Actor, in *changed) (*struct{}, error) {
		by, version, err := in.based(by, a.seenGroup(ctx, by, in.Name))
		if err != nil {
			return nil, err
		}
		return nil, a.Accounts.DeleteGroup(ctx, by, in.Name, version)
	})
	route(a, huma.Operation{
		OperationID: "list-members", Method: http.MethodGet, Path: "/groups/{name}/members", Tags: tags,
		Summary: "List the members of a group", Description: "In the order of their names.",
	}, func(ctx context.Context, by Actor, in *members) (*list[Member], error) {
		found, next, err := a.Accounts.Members(ctx, by, in.Name, in.page())
		return listed(ctx, found, next, func(login *string) Member { return Member{*login} }, err)
	})
	change := func(method, id, summary, description string, do func(context.Context, Actor, *member, int64) (Group, error)) {
		route(a, huma.Operation{
			OperationID: id, Method: method, Path: "/groups/{name}/members/{login}", Tags: tags,
			Summary: summary, Description: description,
		}, func(ctx context.Context, by Actor, in *member) (*one[Group], error) {
			by, version, err := in.based(by, a.seenGroup(ctx, by, in.Name))
			if err != nil {
				return nil, err
			}
			g, err := do(ctx, by, in, version)
			return tagged(g.ID, g.Version, g, err)
		})
	}
	change(http.MethodPut, "add-member", "Make an account a member of a group", "Being one already is success.",
		func(ctx context.Context, by Actor, in *member, version int64) (Group, error) {
			g, err := a.Accounts.Join(ctx, by, in.Name, in.Login, version)
			return NewGroup(&g), err
		})
	change(http.MethodDelete, "remove-member", "End a membership", "Not being a member is success.",
		func(ctx context.Context, by Actor, in *member, version int64) (Group, error) {
			g, err := a.Accounts.Leave(ctx, by, in.Name, in.Login, version)
			return NewGroup(&g), err
		})
}

// seenGroup looks at a group for a change that depends on its version.
func (a *API) seenGroup(ctx context.Context, by Actor, name string) func() (string, int64, error) {
	return func() (string, int64, error) {
		g, err := a.Accounts.Group(ctx, by, name)
		return g.ID, g.Version, err
	}
}
