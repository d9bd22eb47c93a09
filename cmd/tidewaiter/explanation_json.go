package main

import (
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/scope"
)

// forPrograms is e in the form that the API has for it.
func (e *explanation) forPrograms() api.Explanation {
	return api.NewExplanation(&api.Explained{
		Who: e.who, Known: e.known, Note: e.note, Registry: e.registry, Ignored: e.ignored, Results: e.results, Near: e.near,
		Request: e.request, Life: e.life, Entry: e.entry, Today: e.today,
	})
}

// words are the names of actions, never null in JSON.
func words(a scope.Actions) []string {
	if names := a.Names(); names != nil {
		return names
	}
	return []string{}
}
