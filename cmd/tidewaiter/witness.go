package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/notekey"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/internal/witness"
)

func witnessCommand() command {
	return command{
		use:   "witness",
		short: "Cosign the checkpoints of journals on other machines",
		long: `Cosign the checkpoints of journals on other machines, until SIGTERM or Ctrl-C. The
witness cosigns a checkpoint only if the journal still begins with the entries of the previous
cosigned checkpoint. So nobody can get cosignatures for two different histories of a journal. The command needs neither a config nor a database.

The first start creates the key, with the name from --name, and the state file. Each start logs
the public key. The protocol is that of https://c2sp.org/tlog-witness.`,
		example: `  tidewaiter witness --listen :8447 --state witness.json --key witness.key --name witness.example.com/w1 --log journal.pub`,
		flags: func(f *flags) action {
			var listen, state, key, name string
			f.text(&listen, "address", "listen", "the address to listen at, such as :8447")
			f.file(&state, "state", "", "", "the `file` with the newest checkpoint of each journal")
			f.file(&key, "key", "", "", "the `file` with the private key of the witness")
			f.text(&name, "name", "name", "the name of the witness, for a new key")
			logs := f.list("log", "the public `key` of a journal, or a file with it")
			f.addCheck(func(s *session) error {
				if listen == "" || state == "" || key == "" || len(*logs) == 0 {
					return s.usageErrorf("give --listen, --state, --key and --log")
				}
				return nil
			})
			return func(s *session) error {
				s.untilStopped()
				verifiers, err := journalKeys(*logs)
				if err != nil {
					return err
				}
				signing, err := witnessKey(key, name, state)
				if err != nil {
					return err
				}
				log := logging.New(s.errs, "text", "info").Logger
				w, err := witness.Open(witness.Options{State: state, Logs: verifiers, Signer: signing.Cosigner(clock.Now), Log: log})
				if err != nil {
					return err
				}
				s.onClose(w.Close)
				listener, err := net.Listen("tcp", listen)
				if err != nil {
					return fmt.Errorf("listening: %w", err)
				}
				log.Info("serving", "version", thisBuild().Version, "address", listener.Addr().String(), "key", signing.WitnessPublic())
				serving := server.HTTP(w.Handler(), nil, log)
				connections := server.NewConnections(server.ConnectionsOptions{})
				connections.Watch(serving)
				return serveUntil(s.ctx, serving, connections.Bound(listener))
			}
		},
	}
}

// witnessKey reads the key of a witness. If the file does not exist, it creates the key and the
// state. If only the state is missing, witnessKey does not create the state, because a witness
// whose state was lost must not start.
func witnessKey(file, name, state string) (*notekey.Key, error) {
	key, err := notekey.Read(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && name == "":
		return nil, fmt.Errorf("%s does not exist: give --name to create the key", file)
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("reading the key: %w", err)
	case name != "" && name != key.Name():
		return nil, fmt.Errorf("the key in %s has the name %s, not %s", file, key.Name(), name)
	default:
		return key, nil
	}
	if key, err = notekey.New(name); err != nil {
		return nil, err
	}
	if err := witness.Create(state); err != nil {
		return nil, err
	}
	if err := key.Write(file); err != nil {
		return nil, fmt.Errorf("writing %s: %w", file, err)
	}
	return key, nil
}

// serveUntil serves until ctx ends, and then finishes open requests.
func serveUntil(ctx context.Context, s *http.Server, listener net.Listener) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		const grace = 10 * time.Second
		stopping, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer done()
		stopped <- s.Shutdown(stopping)
	})
	err := s.Serve(listener)
	if stop() { // ctx has not ended, so Serve has failed
		return fmt.Errorf("serving: %w", err)
	}
	return <-stopped
}
