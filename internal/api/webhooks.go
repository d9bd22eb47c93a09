package api

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/scope"
)

type (
	webhook struct {
		Name         string     `json:"name" doc:"The name in the config" example:"ci"`
		File         string     `json:"file,omitempty" doc:"The path, if the entries are written to a file" example:"/var/log/tidewaiter/journal.jsonl"`
		Host         string     `json:"host,omitempty" doc:"The host of the URL, without the path, which may be secret" example:"ci.example.com"`
		State        string     `json:"state" enum:"on,failing,off" doc:"failing: entries wait because nothing was accepted lately"`
		Reason       string     `json:"reason,omitempty" doc:"Why the webhook is off"`
		Position     int64      `json:"position" doc:"Entries of the journal up to here were delivered, except those that wait"`
		Behind       int64      `json:"behind" doc:"How many entries of the journal there are from the first one that waits"`
		Oldest       *time.Time `json:"oldest,omitempty" doc:"The time of the first entry that waits"`
		Failures     int64      `json:"failures" doc:"Failures in a row"`
		Failing      *time.Time `json:"failing_since,omitempty" doc:"The time of the first of these failures"`
		Next         *time.Time `json:"next_attempt,omitempty" doc:"When the entries that wait are sent again"`
		Repositories int        `json:"waiting_repositories" doc:"Repositories whose entries wait because one of them was not accepted"`
		PublicKeys   []string   `json:"public_keys,omitempty" doc:"The Ed25519 keys that verify the messages"`
	}
	webhookAttempt struct {
		Time     time.Time `json:"time" doc:"When the message was sent"`
		Position int64     `json:"position,omitempty" doc:"The position of the entry; absent in a test"`
		Entry    string    `json:"entry" doc:"The id of the entry, which is the header webhook-id"`
		Attempt  int64     `json:"attempt" doc:"The number of the attempt for this entry, from 1"`
		Status   int       `json:"status,omitempty" doc:"The status of the response; absent: there was no response"`
		Problem  string    `json:"problem,omitempty" doc:"Why the message was not accepted; absent: it was accepted"`
		Duration float64   `json:"seconds" doc:"The duration of the request"`
	}
	listAttempts struct {
		NamePath
		Limit int `query:"limit" minimum:"1" maximum:"100" default:"100" doc:"The maximum number of attempts"`
	}
	resendEntries struct {
		NamePath
		Body struct {
			Since time.Time `json:"since" doc:"The time of the first entry to send again" example:"2026-11-30T12:00:00Z"`
		}
	}
)

// NewWebhook returns the JSON form of a webhook, without its secrets and without the path of its
// URL.
func NewWebhook(s *delivery.Status) webhook {
	w := webhook{
		Name: s.Name, State: "on", Reason: s.Off, Position: int64(s.Position), Behind: s.Behind, Oldest: orNull(s.Oldest),
		Failures: s.Failures, Failing: orNull(s.Failing), Next: orNull(s.Next), Repositories: s.Waiting,
	}
	switch {
	case s.Off != "":
		w.State, w.Next = "off", nil
	case s.IsFailing():
		w.State = "failing"
	}
	if s.File != nil {
		w.File = s.File.Path
	} else if u, err := url.Parse(s.URL); err == nil {
		w.Host = u.Host
	}
	for _, k := range s.Keys {
		if public := k.Public(); public != "" {
			w.PublicKeys = append(w.PublicKeys, public)
		}
	}
	return w
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// NewWebhookAttempt returns the JSON form of an attempt.
func NewWebhookAttempt(a *delivery.Attempt) webhookAttempt {
	return webhookAttempt{a.Time, int64(a.Position), a.Entry.String(), a.Number, a.Status, a.Problem, a.Duration.Seconds()}
}

func (a *API) webhookRoutes() {
	route(a, tagWebhooks, operation("list-webhooks", "GET /webhooks", "List webhooks", "All webhooks of the config, and the files of journal.files, on one page."),
		func(ctx context.Context, caller admin.Actor, _ *struct{}) (*pageResponse[webhook], error) {
			if err := a.mayUseWebhooks(caller, scope.Read); err != nil {
				return nil, err
			}
			list, err := a.Delivery().Status(ctx)
			return newPage(ctx, list, "", NewWebhook, err)
		})
	route(a, tagWebhooks, operation("list-webhook-deliveries", "GET /webhooks/{name}/deliveries", "List the last deliveries of a webhook", "The newest first."),
		func(ctx context.Context, caller admin.Actor, in *listAttempts) (*pageResponse[webhookAttempt], error) {
			if err := a.mayUseWebhooks(caller, scope.Read); err != nil {
				return nil, err
			}
			list, err := a.Delivery().Attempts(ctx, in.Name, in.Limit)
			return newPage(ctx, list, "", NewWebhookAttempt, err)
		})
	contentRoute(a, tagWebhooks, operation("test-webhook", "POST /webhooks/{name}/test", "Send a test message to a webhook", "The response has the result."),
		func(ctx context.Context, caller admin.Actor, in *NamePath) (webhookAttempt, error) {
			if err := a.mayUseWebhooks(caller, scope.Write); err != nil {
				return webhookAttempt{}, err
			}
			result, err := a.Delivery().Test(ctx, caller, in.Name)
			return NewWebhookAttempt(&result), err
		})
	contentRoute(a, tagWebhooks, operation("enable-webhook", "POST /webhooks/{name}/enable", "Switch a webhook on", "Waiting entries are sent at once."),
		func(ctx context.Context, caller admin.Actor, in *NamePath) (webhook, error) {
			return a.changeWebhook(ctx, caller, in.Name, a.Delivery().Enable)
		})
	contentRoute(a, tagWebhooks, operation("disable-webhook", "POST /webhooks/{name}/disable", "Switch a webhook off", "New entries wait until it is switched on."),
		func(ctx context.Context, caller admin.Actor, in *NamePath) (webhook, error) {
			return a.changeWebhook(ctx, caller, in.Name, a.Delivery().Disable)
		})
	contentRoute(a, tagWebhooks, operation("resend-to-webhook", "POST /webhooks/{name}/resend", "Resend the entries since a time", "Entries that the journal no longer has are not sent."),
		func(ctx context.Context, caller admin.Actor, in *resendEntries) (webhook, error) {
			return a.changeWebhook(ctx, caller, in.Name, func(ctx context.Context, by admin.Actor, name string) error {
				return a.Delivery().Resend(ctx, by, name, in.Body.Since)
			})
		})
}

// changeWebhook calls the function change, and returns the webhook after the change.
func (a *API) changeWebhook(ctx context.Context, caller admin.Actor, name string, change func(context.Context, admin.Actor, string) error) (webhook, error) {
	if err := a.mayUseWebhooks(caller, scope.Write); err != nil {
		return webhook{}, err
	}
	if err := change(ctx, caller, name); err != nil {
		return webhook{}, err
	}
	list, err := a.Delivery().Status(ctx)
	for i := range list {
		if list[i].Name == name {
			return NewWebhook(&list[i]), nil
		}
	}
	return webhook{}, err
}

func (a *API) mayUseWebhooks(caller admin.Actor, actions scope.Actions) error {
	if !a.Rulebook.May(caller, admin.RightJournal, actions) {
		return fmt.Errorf("managing webhooks: %w", admin.Requires(admin.RightJournal, actions))
	}
	return nil
}
