package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func webhookCommand() command {
	return command{
		use:   "webhook",
		short: "Manage the delivery to webhooks",
		sub: []command{{
			use:   "list",
			short: "List the webhooks and the entries that wait for delivery",
			long: `List the webhooks of the config, and the files of journal.files: whether they work, how
many entries of the journal they are behind, and the time of the oldest entry that waits.`,
			example: "  tidewaiter webhook list",
			opens:   readJournal,
			run:     webhookList,
		}, {
			use:   "deliveries NAME",
			short: "List the last deliveries of a webhook, the newest first",
			example: `  tidewaiter webhook deliveries ci
  tidewaiter webhook deliveries ci --limit 5 --output json`,
			opens: readJournal,
			flags: webhookDeliveries,
		}, {
			use:   "test NAME",
			short: "Send a test message to a webhook",
			long: `Send a test message from this machine, and print the result. The exit code is 1 if
the webhook did not accept the message.`,
			example: "  tidewaiter webhook test ci",
			opens:   readJournal,
			run:     webhookTest,
		}, {
			use:   "resend NAME",
			short: "Resend the entries since a time",
			long: `Send all entries since a time again, in order and with the same ids. Entries that
the journal no longer has are not sent. The service begins within a second.`,
			example: `  tidewaiter webhook resend ci --since 2h
  tidewaiter webhook resend ci --since 2026-11-28T23:00:00Z`,
			opens: changeJournal,
			flags: func(f *flags) action {
				var since time.Time
				f.time(&since, "since", "the `time` of the first entry, such as 2026-11-28T23:00:00Z, 2026-11-28 or 2d (two days ago)")
				return func(s *session) error {
					if since.IsZero() {
						return s.usageErrorf("give --since")
					}
					return s.changeWebhook("entries since "+formatSecond(since)+" are sent again to webhook %s", func(ctx context.Context, d *delivery.Delivery, by admin.Actor, name string) error {
						return d.Resend(ctx, by, name, since)
					})
				}
			},
		}, {
			use:   "enable NAME",
			short: "Switch a webhook on",
			long: `Switch a webhook on that was switched off, or send everything that waits now. The
service begins within a second.`,
			example: "  tidewaiter webhook enable ci",
			opens:   changeJournal,
			run: func(s *session) error {
				return s.changeWebhook("webhook %s is on", func(ctx context.Context, d *delivery.Delivery, by admin.Actor, name string) error {
					return d.Enable(ctx, by, name)
				})
			},
		}, {
			use:     "disable NAME",
			short:   "Switch a webhook off",
			long:    `Switch a webhook off. New entries wait in the journal until it is switched on.`,
			example: "  tidewaiter webhook disable ci",
			opens:   changeJournal,
			run: func(s *session) error {
				return s.changeWebhook("webhook %s is off", func(ctx context.Context, d *delivery.Delivery, by admin.Actor, name string) error {
					return d.Disable(ctx, by, name)
				})
			},
		}},
	}
}

// delivery returns the webhooks of the config.
func (s *session) delivery() (*delivery.Delivery, error) {
	return app.NewDelivery(s.cfg, s.db, s.journal, delivery.Options{})
}

func webhookList(s *session) error {
	d, err := s.delivery()
	if err != nil {
		return err
	}
	list, err := d.Status(s.ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		s.printNote("the config has no webhooks")
	}
	if s.printsJSON() {
		forms := make([]any, len(list))
		for i := range list {
			forms[i] = api.NewWebhook(&list[i])
		}
		return s.writeJSON(forms)
	}
	rows := [][]string{{"NAME", "TO", "STATE", "BEHIND", "OLDEST", "FAILING SINCE", "NEXT ATTEMPT"}}
	for i := range list {
		w := api.NewWebhook(&list[i])
		next := ""
		if w.Next != nil {
			next = formatSecond(*w.Next)
		}
		rows = append(rows, []string{w.Name, text.Escape(cmp.Or(w.File, w.Host)), w.State, strconv.FormatInt(w.Behind, 10), formatSecond(list[i].Oldest), formatSecond(list[i].Failing), next})
	}
	if err := writeTable(s.out, rows); err != nil {
		return err
	}
	for _, w := range list {
		if w.Off != "" {
			s.printNote("webhook %s is off: %s; tidewaiter webhook enable %s switches it on", w.Name, text.Escape(w.Off), w.Name)
		}
	}
	return nil
}

func webhookDeliveries(f *flags) action {
	limit := limitFlag(f, "deliveries")
	return func(s *session) error {
		d, err := s.delivery()
		if err != nil {
			return err
		}
		list, err := d.Attempts(s.ctx, s.args[0], *limit)
		if err != nil {
			return err
		}
		if s.printsJSON() {
			forms := make([]any, len(list))
			for i := range list {
				forms[i] = api.NewWebhookAttempt(&list[i])
			}
			return s.writeJSON(forms)
		}
		rows := [][]string{{"TIME", "POSITION", "ENTRY", "ATTEMPT", "RESULT", "DURATION"}}
		for _, a := range list {
			rows = append(rows, []string{formatSecond(a.Time), strconv.FormatInt(int64(a.Position), 10), a.Entry.String(),
				strconv.FormatInt(a.Number, 10), attemptText(&a), a.Duration.Round(time.Millisecond).String()})
		}
		return writeTable(s.out, rows)
	}
}

func attemptText(a *delivery.Attempt) string {
	return cmp.Or(text.Escape(a.Problem), "accepted ("+strconv.Itoa(a.Status)+")")
}

func webhookTest(s *session) error {
	d, err := s.delivery()
	if err != nil {
		return err
	}
	a, err := d.Test(s.ctx, s.by, s.args[0])
	if err != nil {
		return err
	}
	if a.Problem == "" || s.printsJSON() {
		if err := s.print(api.NewWebhookAttempt(&a), "webhook %s accepted the message with status %d in %s", s.args[0], a.Status, a.Duration.Round(time.Millisecond)); err != nil {
			return err
		}
	}
	if a.Problem != "" {
		return fmt.Errorf("webhook %s: %s", s.args[0], text.Escape(a.Problem))
	}
	return nil
}

// changeWebhook calls the function change with the webhook that the command names.
func (s *session) changeWebhook(done string, change func(context.Context, *delivery.Delivery, admin.Actor, string) error) error {
	d, err := s.delivery()
	if err != nil {
		return err
	}
	if err := change(s.ctx, d, s.by, s.args[0]); err != nil {
		return err
	}
	return s.print(map[string]string{"name": s.args[0]}, done, s.args[0])
}
