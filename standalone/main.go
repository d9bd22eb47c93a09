// Standalone runs Tidewaiter and a registry in one process, at one address: `make up`.
//
// Use it to try Tidewaiter, or if a single machine is enough. Standalone listens only on loopback,
// without TLS. All its data is in one folder.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dustin/go-humanize"

	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/password"
)

func main() {
	port := flag.Int("port", 5000, "port of the registry, on this machine only")
	data := flag.String("data", defaultData, "folder for all data")
	garbage := flag.Bool("collect", false, "remove layers that no image uses from the folder, and exit")
	flag.Parse()
	if *port < 0 || *port > 65535 {
		fmt.Fprintf(os.Stderr, "invalid port %d: ports are numbers up to 65535\n", *port)
		os.Exit(2)
	}
	if *data == "" { // the files would be mixed with the files of the current folder
		fmt.Fprintln(os.Stderr, "the folder for the data is empty: give its name, as in DATA=data, or leave out DATA=")
		os.Exit(2)
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected %q: see -help\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	do := func() error { return run(ctx, *data, *port) }
	if *garbage {
		do = func() error { return runCollect(ctx, *data) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "tidewaiter:", err)
		os.Exit(1)
	}
}

func runCollect(ctx context.Context, data string) error {
	freed, err := collect(ctx, data)
	if err != nil {
		return err
	}
	fmt.Printf("freed %s\n", humanize.Bytes(uint64(max(freed, 0))))
	return nil
}

func run(ctx context.Context, data string, port int) (err error) {
	password.AddThreads()
	s, err := Open(ctx, Options{Data: data, Port: port, Log: logging.New(os.Stdout, "plain", "info")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fmt.Print(s.Welcome())
	return s.Serve(ctx)
}
