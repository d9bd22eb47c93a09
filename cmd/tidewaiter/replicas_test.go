package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// The scripts in testdata/replicas have a server of PostgreSQL for themselves. Its database is $state, and there is
// one command more:
//
//	postgres start|stop  start it again, or end it at once: whoever is connected is cut off
func TestReplicas(t *testing.T) {
	server := storetest.NewServer(t)
	scripts(t, "testdata/replicas", func(p *testscript.Params) {
		setup := p.Setup
		p.Setup = func(e *testscript.Env) error {
			e.Setenv("state", server.Database(t, "template0"))
			return setup(e)
		}
		p.Cmds["postgres"] = func(ts *testscript.TestScript, neg bool, args []string) {
			wants(ts, neg, args, 1, 1)
			do := map[string]func() error{"start": server.Start, "stop": server.Stop}[args[0]]
			if do == nil {
				ts.Fatalf("it is not used like this")
			}
			ts.Check(do())
		}
	})
}
