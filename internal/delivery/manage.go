package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Status is the state of a webhook.
type Status struct {
	*Webhook
	Known    bool             // the webhook has a position; false: it begins at the journal's end
	Off      string           // why nothing is delivered; "": the webhook is on
	Position journal.Position // entries up to this position were delivered or wait
	Behind   int64            // number of journal entries, counted from the first waiting entry
	Oldest   time.Time        // time of the first waiting entry; zero: none waits
	Failures int64            // consecutive failures
	Failing  time.Time        // time of the first of these failures
	Next     time.Time        // time of the next attempt; zero: now
	Waiting  int              // repositories that wait because one of their entries was refused
}

// find returns the worker of a webhook of the config.
func (d *Delivery) find(name string) (*worker, error) {
	for _, w := range d.workers {
		if w.Name == name {
			return w, nil
		}
	}
	return nil, &admin.NotFoundError{Kind: "webhook", Name: name, In: "the config"}
}

// Status returns the state of each webhook of the config, as the database has it. A webhook that
// was not used yet begins at the end of the journal.
func (d *Delivery) Status(ctx context.Context) ([]Status, error) {
	list := make([]Status, 0, len(d.workers))
	if len(d.workers) == 0 {
		return list, nil
	}
	last, err := d.journal.Last(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range d.workers {
		s, _, err := readState(ctx, d.db.Read(), w.Name)
		known := err == nil
		if errors.Is(err, sql.ErrNoRows) {
			s, err = state{Position: last}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the state of webhook %s: %w", w.Name, d.db.Explain(err))
		}
		status := Status{
			Webhook: w.Webhook, Known: known, Off: s.Off, Position: s.Position, Behind: int64(max(0, last+1-s.lowest())),
			Failures: s.Failures, Failing: s.Failing, Next: s.Next, Waiting: len(s.Backlogs),
		}
		if l := s.nextBacklog(); l != nil && l.Next.After(status.Next) {
			status.Next = l.Next
		}
		if status.Behind > 0 {
			for e, err := range d.journal.Read(ctx, s.lowest()-1) {
				if err != nil {
					return nil, err
				}
				status.Oldest = e.Time
				break
			}
		}
		list = append(list, status)
	}
	return list, nil
}

// Attempts returns the last attempts of a webhook, the newest first.
func (d *Delivery) Attempts(ctx context.Context, name string, limit int) ([]Attempt, error) {
	if _, err := d.find(name); err != nil {
		return nil, err
	}
	list, err := store.Collect(ctx, d.db.Read(), func(r store.Row) (a Attempt, err error) {
		var at, duration int64
		var entry string
		err = r.Scan(&a.number, &at, &a.Position, &entry, &a.Number, &a.Status, &a.Problem, &duration)
		if err == nil {
			err = a.Entry.UnmarshalText([]byte(entry))
		}
		a.Time, a.Duration = store.Time(at), time.Duration(duration)*time.Millisecond
		return a, err
	}, selectAttempts, name, min(limit, maxLogged))
	return list, d.db.Explain(err)
}

// Test sends a test message to a webhook and returns the result. The message is about no entry.
// Test does not change the state of the webhook.
func (d *Delivery) Test(ctx context.Context, by admin.Actor, name string) (Attempt, error) {
	w, err := d.find(name)
	if err != nil {
		return Attempt{}, err
	}
	if w.file != nil {
		return Attempt{}, admin.Invalid("name", "%s is a file, which cannot be tested", name)
	}
	a := Attempt{Time: d.o.Now(), Entry: journal.NewID(d.o.Now()), Number: 1}
	body, err := encode(cloudEvent{
		Version: "1.0", ID: a.Entry.String(), Source: d.o.Source, Type: typePrefix + "webhook.test", Subject: name,
		Time: a.Time.UTC(), ContentType: "application/json", Data: map[string]string{"summary": "a test by " + by.String()},
	})
	if err != nil {
		return Attempt{}, err
	}
	r := w.send(ctx, a.Entry.String(), body)
	a.Status, a.Problem, a.Duration = r.status, r.problem, d.o.Now().Sub(a.Time)
	return a, ctx.Err()
}

// Enable switches a webhook on. Waiting entries are sent at once.
func (d *Delivery) Enable(ctx context.Context, by admin.Actor, name string) error {
	return d.change(ctx, by, name, changeOff, "", journal.Change{Action: "webhook.enable"})
}

// Disable switches a webhook off. New entries wait in the journal until it is switched on.
func (d *Delivery) Disable(ctx context.Context, by admin.Actor, name string) error {
	return d.change(ctx, by, name, changeOff, "disabled by "+by.String(), journal.Change{Action: "webhook.disable"})
}

// Resend sends all entries since the given time once more. Entries that the journal no longer has
// are not sent.
func (d *Delivery) Resend(ctx context.Context, by admin.Actor, name string, since time.Time) error {
	first, err := d.journal.FirstSince(ctx, since)
	if err != nil {
		return err
	}
	return d.change(ctx, by, name, changeResend, int64(max(0, first-1)), journal.Change{
		Action: "webhook.resend", To: map[string]any{"since": since.UTC().Format(time.RFC3339)},
	})
}

// change changes the row of a webhook. The row is created if the webhook was not used yet.
func (d *Delivery) change(ctx context.Context, by admin.Actor, name, statement string, value any, c journal.Change) error {
	if _, err := d.find(name); err != nil {
		return err
	}
	last, err := d.journal.Last(ctx)
	if err != nil {
		return err
	}
	c.Target = name
	return admin.NewWriter(d.db, d.journal, d.o.Now).Change(ctx, "", by, func(tx *sql.Tx) (*journal.Change, error) {
		if _, err := tx.ExecContext(ctx, insertState, name, last); err != nil {
			return nil, err
		}
		_, err := tx.ExecContext(ctx, statement, name, value)
		return &c, err
	})
}

// IsFailing reports whether all entries wait, because nothing was accepted lately.
func (s *Status) IsFailing() bool { return s.Off == "" && s.Failures >= deadAfter }

// Problems returns one readable line for each webhook that does not work.
func Problems(list []Status) (lines []string) {
	for _, s := range list {
		switch {
		case s.Off != "" && !strings.HasPrefix(s.Off, "disabled by "):
			lines = append(lines, fmt.Sprintf("webhook %s: it is switched off: %s", s.Name, s.Off))
		case s.IsFailing():
			lines = append(lines, fmt.Sprintf("webhook %s: it has failed since %s", s.Name, s.Failing.UTC().Format(time.RFC3339)))
		}
	}
	return lines
}
