package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

type signIn struct {
	Body struct {
		Name     string `json:"name" maxLength:"256" doc:"The name" example:"alice"`
		Password string `json:"password" maxLength:"4096" writeOnly:"true" doc:"The password, or a personal access token instead"`
	}
}

type sessionStarted struct {
	Location string `header:"Location" doc:"The path of the session"`
	Cookie   string `header:"Set-Cookie" doc:"The session, for browsers"`
	Body     token
}

type sessionEnded struct {
	Cookie string `header:"Set-Cookie" doc:"Deletes the cookie of the session"`
}

func (a *API) sessionRoutes() {
	op := operation("sign-in", "POST /session", "Start a session",
		"For browsers: the session is a cookie that scripts cannot read. A session ends after twelve hours, or after an hour without a request. "+
			"It also ends if it is revoked, if the password changes, or if the user is disabled. Programs send a token with each request instead.")
	op.DefaultStatus = http.StatusCreated
	publicRoute(a, tagSession, op, func(ctx context.Context, in *signIn) (*sessionStarted, error) {
		c := callOf(ctx)
		who, err := c.server.SignIn(c.request, identity.NewPresented(in.Body.Name, in.Body.Password))
		if err != nil {
			return nil, err
		}
		t, secret, err := a.Accounts.Credentials.StartSession(ctx, who.Presented, who.Verified)
		if err != nil {
			return nil, err
		}
		return &sessionStarted{Prefix + "/session", sessionCookie(secret, t.Expires).String(), NewToken(&t)}, nil
	})
	route(a, tagSession, operation("get-session", "GET /session", "Get the session of this request", ""),
		func(ctx context.Context, caller admin.Actor, _ *struct{}) (*response[token], error) {
			t, err := a.session(ctx, caller)
			return respond(NewToken(&t), err)
		})
	op = operation("sign-out", "DELETE /session", "End the session of this request", "Tokens that the session created are revoked, too.")
	op.DefaultStatus = http.StatusNoContent
	route(a, tagSession, op, func(ctx context.Context, caller admin.Actor, _ *struct{}) (*sessionEnded, error) {
		t, err := a.session(ctx, caller)
		if err == nil {
			err = a.Accounts.Credentials.Revoke(ctx, caller, t.ID)
		}
		if err != nil {
			return nil, err
		}
		return &sessionEnded{expiredCookie().String()}, nil
	})
}

// session returns the session that authenticates the request. If another credential authenticates
// the request, the error has the status 404.
func (a *API) session(ctx context.Context, caller admin.Actor) (credentials.Token, error) {
	t, err := a.Accounts.Credentials.PresentedToken(ctx, caller)
	if errors.Is(err, admin.ErrNotFound) || err == nil && t.Purpose != credentials.Session {
		return credentials.Token{}, refuse(http.StatusNotFound, "this request has no session: it was authenticated by another credential")
	}
	return t, err
}

// sessionCookie returns the cookie of a session. With SameSite Lax, the browser sends the cookie
// if the user follows a link from another site. The browser does not send the cookie with
// requests by forms and scripts of that site.
func sessionCookie(secret identity.Secret, until time.Time) *http.Cookie {
	return &http.Cookie{
		Name: server.SessionCookie, Value: secret.Reveal(), Path: "/", Expires: until,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// expiredCookie returns the cookie that deletes a session from the browser.
func expiredCookie() *http.Cookie {
	c := sessionCookie(identity.Secret{}, time.Time{})
	c.MaxAge = -1
	return c
}
