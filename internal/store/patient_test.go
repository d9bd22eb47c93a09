package store_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// A stopped server or a network that drops packets must not block callers forever.
func TestAServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	for _, tt := range []struct {
		what     string
		within   time.Duration
		deadline time.Duration // set by the driver; 0: none
	}{
		{"no deadline", time.Millisecond, 0},
		{"the driver set a deadline and removed it", time.Millisecond, -1},
		{"the driver interrupts", time.Hour, time.Millisecond},
	} {
		ours, theirs := net.Pipe()
		conn, err := store.Patient(func(context.Context, string, string) (net.Conn, error) { return ours, nil }, tt.within)(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if tt.deadline != 0 {
			if err := conn.SetDeadline(time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case tt.deadline < 0:
			err = conn.SetDeadline(time.Time{})
		case tt.deadline > 0:
			err = conn.SetDeadline(time.Now().Add(tt.deadline))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", tt.what, err)
		}
		ours.Close()
		theirs.Close()
	}
	refused := errors.New("on purpose")
	if _, err := store.Patient(func(context.Context, string, string) (net.Conn, error) { return nil, refused }, time.Hour)(t.Context(), "", ""); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
}
