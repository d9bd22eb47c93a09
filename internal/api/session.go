package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// signingIn is somebody who signs in with a browser.
type signingIn struct {
	Body struct {
		Name     string `json:"name" maxLength:"256" doc:"The name" example:"alice"`
		Password string `json:"password" maxLength:"4096" writeOnly:"true" doc:"The password, or a personal access token in place of it"`
	}
}

// signedInAs is a session that has begun.
type signedInAs struct {
	Location string `header:"Location" doc:"Where it is"`
	Cookie   string `header:"Set-Cookie" doc:"The session, for browsers"`
	Body     Token
}

// signedOut is the end of a session.
type signedOut struct {
	Cookie string `header:"Set-Cookie" doc:"Takes the session away"`
}

func (a *API) sessionRoutes() {
	tags := []string{tagSession}
	open(a, huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: "/session", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Begin a session",
		Description: "For browsers: the session is a cookie that scripts don't see. It is over after twelve hours, after an hour without a request, " +
			"when it is revoked, and when the password is changed or the user disabled. Programs show a token with each request instead.",
	}, func(ctx context.Context, in *signingIn) (*signedInAs, error) {
		c := calling(ctx)
		who, err := c.server.SignIn(c.request, identity.NewPresented(in.Body.Name, in.Body.Password))
		if err != nil {
			return nil, err
		}
		t, secret, err := a.Accounts.StartSession(ctx, who.Presented, who.Verified)
		if err != nil {
			return nil, err
		}
		return &signedInAs{Prefix + "/session", newSession(secret, t.Expires).String(), plainToken(&t)}, nil
	})
	route(a, huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: "/session", Tags: tags,
		Summary: "Show the session of this request",
	}, func(ctx context.Context, by Actor, _ *struct{}) (*one[Token], error) {
		t, err := a.session(ctx, by)
		return tagged(t.ID, 1, plainToken(&t), err)
	})
	route(a, huma.Operation{
		OperationID: "sign-out", Method: http.MethodDelete, Path: "/session", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "End the session of this request", Description: "And what was made with it.",
	}, func(ctx context.Context, by Actor, _ *struct{}) (*signedOut, error) {
		t, err := a.session(ctx, by)
		if err == nil {
			err = a.Accounts.Revoke(ctx, by, t.ID)
		}
		if err != nil {
			return nil, err
		}
		return &signedOut{noSession().String()}, nil
	})
}

// session returns the session that a request shows.
func (a *API) session(ctx context.Context, by Actor) (accounts.Token, error) {
	t, err := a.Accounts.Shown(ctx, by)
	if errors.Is(err, accounts.ErrNotFound) || err == nil && t.Use != accounts.Session {
		return accounts.Token{}, refuse(http.StatusNotFound, "this request is none of a session: it shows something else")
	}
	return t, err
}

// newSession is the cookie of a session. Lax: a link that leads here from elsewhere finds its user signed in, and a form or a
// script from elsewhere does not.
func newSession(secret identity.Secret, until time.Time) *http.Cookie {
	return &http.Cookie{
		Name: server.SessionCookie, Value: secret.Reveal(), Path: "/", Expires: until,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// noSession takes the cookie of a session away.
func noSession() *http.Cookie {
	return &http.Cookie{Name: server.SessionCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}
