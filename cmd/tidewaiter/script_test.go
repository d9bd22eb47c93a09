package main

import (
	"bytes"
	"database/sql"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/loopback"
)

var update = flag.Bool("update", false, "write the output of commands into scripts and pages")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tidewaiter": main})
}

// The scripts in testdata/script specify the command line. In addition to testscript's commands,
// they have:
//
//	exits CODE COMMAND...            run a command that must exit with the code
//	capture VARIABLE PATTERN [FILE]  set a variable to the pattern's group in stdout or a file
//	free VARIABLE                    set a variable to a port that no process listens at
//	replace OLD NEW FILE             replace the first OLD, which the file must contain
//	certificate KIND FOLDER          create cert.pem and privatekey.pem: "server" or "expired"
//	run NAME COMMAND...              start a process that runs while the script continues
//	damage FILE TABLE                overwrite a table's first page in a closed database
//	until NAME PATTERN               wait for a line of the process
//	signal NAME SIGNAL               send TERM, INT, HUP or KILL to the process
//	ended NAME CODE                  wait until the process exits; -1 after a signal. The file
//	                                 NAME then has its output
//	http STATUS METHOD URL           send a request, with the arguments [name:password] and
//	                                 [FILE] as body; stdout is the response
//	soon STATUS METHOD URL           repeat the request until the response has the status
func TestScripts(t *testing.T) { runScripts(t, "testdata/script", nil) }

// runScripts runs the scripts of a folder. The function customize adds setup and commands for
// these scripts only.
func runScripts(t *testing.T, folder string, customize func(*testscript.Params)) {
	p := testscript.Params{
		Dir:                 folder,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			e.Values[processes{}] = make(map[string]*process)
			e.Values[contextKey{}] = await.Context(t)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"capture": capture,
			"free":    free,
			"replace": replace,
			"run":     startProcess,
			"until":   waitForLine,
			"signal":  sendSignal,
			"ended":   ended,
			"http":    httpRequest,
			"soon":    httpUntil,

			"certificate": createCertificate,
			"damage":      damage,
		},
	}
	if customize != nil {
		customize(&p)
	}
	checkNotCutShort(t, folder)
	testscript.Run(t, p)
}

// cutsShort finds commands of testscript that end a script, so that its other lines are not run,
// and the test passes. The command stop does not stop a process; signal does.
var cutsShort = regexp.MustCompile(`(?m)^(\[.*\] *)?(stop|skip)\b.*$`)

func checkNotCutShort(t *testing.T, folder string) {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%s: %d scripts, %v", folder, len(scripts), err)
	}
	for _, script := range scripts {
		archive, err := txtar.ParseFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if line := cutsShort.Find(archive.Comment); line != nil {
			t.Errorf("%s: %q ends the script, and the lines after it are not run; to end a process: signal NAME TERM", script, line)
		}
	}
}

// checkCount checks the number of arguments of a script's command.
func checkCount(ts *testscript.TestScript, neg bool, args []string, least, most int) {
	if neg || len(args) < least || len(args) > most {
		ts.Fatalf("wrong arguments: see TestScripts")
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 2, 99)
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("the exit code is %d, not %s\n%s", code, args[0], ts.ReadFile("stderr"))
	}
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 2, 3)
	file := "stdout"
	if len(args) == 3 {
		file = args[2]
	}
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile(file))
	if len(found) != 2 {
		ts.Fatalf("no match for %s with one group", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func free(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 1, 1)
	port, release, err := loopback.Hold()
	ts.Check(err)
	ts.Defer(release)
	ts.Setenv(args[0], strconv.Itoa(port))
}

func damage(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 2, 2)
	file := ts.MkAbs(args[0])
	db, err := sql.Open("sqlite", file)
	ts.Check(err)
	var page, size int64
	err = db.QueryRow("SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = ?", args[1]).Scan(&page, &size)
	ts.Check(errors.Join(err, db.Close()))
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, int(size)), (page-1)*size)
	ts.Check(errors.Join(err, f.Close()))
}

func replace(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 3, 3)
	text := ts.ReadFile(args[2])
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("%s has no %q", args[2], args[0])
	}
	writeFile(ts, args[2], strings.Replace(text, args[0], args[1], 1))
}
