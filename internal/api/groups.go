package api

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
)

type newGroup struct {
	Idempotent
	Body struct {
		Name string `json:"name" maxLength:"64" doc:"Lower-case letters and digits, with single separators between them" example:"developers"`
	}
}

type listMembers struct {
	NamePath
	PageQuery
}

// membership selects a member of a group, to add or remove it.
type membership struct {
	NamePath
	Login string `path:"login" maxLength:"80" doc:"The login of the account" example:"robot+ci"`
	Conditional
}

type member struct {
	Login string `json:"login" doc:"The login of the account" example:"alice"`
}

func (a *API) groupRoutes() {
	r := resource[string, accounts.Group, group]{a, tagGroups, a.Accounts.Group, NewGroup}
	listAll(a, tagGroups, operation("list-groups", "GET /groups", "List groups", "Sorted by name."), NewGroup, a.Accounts.Groups)
	create(r, operation("add-group", "POST /groups", "Add a group", "It has no members. Rules refer to it as group:NAME."),
		func(ctx context.Context, caller admin.Actor, in *newGroup) (group, error) {
			g, err := a.Accounts.AddGroup(ctx, in.actorWithKey(caller), in.Body.Name)
			return NewGroup(&g), err
		})
	show[NamePath](r, operation("get-group", "GET /groups/{name}", "Get a group", ""))
	remove[changedAccount](r, operation("delete-group", "DELETE /groups/{name}", "Delete a group",
		"Its members lose the rights that the group gave them. The members themselves are not deleted."), a.Accounts.DeleteGroup)
	listIn[listMembers](a, tagGroups, operation("list-members", "GET /groups/{name}/members", "List the members of a group", "Sorted by name."),
		func(login *string) member { return member{*login} }, a.Accounts.Members)
	change(r, operation("add-member", "PUT /groups/{name}/members/{login}", "Add a member to a group", "Adding a member again changes nothing."),
		func(ctx context.Context, caller admin.Actor, in *membership, version int64) (accounts.Group, error) {
			return a.Accounts.Join(ctx, caller, in.Name, in.Login, version)
		})
	change(r, operation("remove-member", "DELETE /groups/{name}/members/{login}", "Remove a member from a group",
		"Removing an account that is not a member changes nothing."),
		func(ctx context.Context, caller admin.Actor, in *membership, version int64) (accounts.Group, error) {
			return a.Accounts.Leave(ctx, caller, in.Name, in.Login, version)
		})
}
