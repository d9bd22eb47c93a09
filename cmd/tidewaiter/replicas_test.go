package main

import (
	"errors"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// The scripts in testdata/replicas have their own PostgreSQL server, with the database $database.
// These scripts have two additional commands:
//
//	counter VARIABLE TOPIC  set a variable to the number of the last change of a topic
//	postgres start|stop     start the server again, or stop it and close all connections
func TestReplicas(t *testing.T) {
	server := storetest.NewServer(t)
	runScripts(t, "testdata/replicas", func(p *testscript.Params) {
		setup := p.Setup
		p.Setup = func(e *testscript.Env) error {
			e.Setenv("database", server.Database(t, "template0"))
			return setup(e)
		}
		p.Cmds["counter"] = func(ts *testscript.TestScript, neg bool, args []string) {
			checkCount(ts, neg, args, 2, 2)
			db, err := store.Open(t.Context(), ts.Getenv("database"))
			ts.Check(err)
			var last int64
			err = db.Read().QueryRowContext(t.Context(), "SELECT coalesce(max(counter), 0) FROM changes WHERE topic = $1", args[1]).Scan(&last)
			ts.Check(errors.Join(err, db.Close()))
			ts.Setenv(args[0], strconv.FormatInt(last, 10))
		}
		p.Cmds["postgres"] = func(ts *testscript.TestScript, neg bool, args []string) {
			checkCount(ts, neg, args, 1, 1)
			do := map[string]func() error{"start": server.Start, "stop": server.Stop}[args[0]]
			if do == nil {
				ts.Fatalf("usage: postgres start|stop")
			}
			ts.Check(do())
		}
	})
}
