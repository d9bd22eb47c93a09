package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/journal"
)

func TestRepeatsOfADecision(t *testing.T) {
	at := time.Date(2026, 11, 28, 23, 0, 0, 0, time.Local)
	for count, want := range map[int64]string{
		1: "repeated once, at 2026-11-28 23:00:00\n",
		2: "repeated 2 times from 2026-11-28 23:00:00 to 2026-11-28 23:00:09\n",
	} {
		last := at.Add(time.Duration(count-1) * 9 * time.Second)
		var b strings.Builder
		printDecision(&b, false, &explain.Evaluation{Entry: &journal.Entry{Time: at, Decision: &journal.Decision{
			Name: "ann", Refused: "invalid credentials", Repeats: &journal.Repeats{Count: count, First: at, Last: last},
		}}})
		if !strings.Contains(b.String(), want) {
			t.Errorf("%d: %q has no %q", count, b.String(), want)
		}
	}
}
