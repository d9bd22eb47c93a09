package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// tick is the unit of /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// usage returns the processor time that the target's process uses in the window. It waits until
// all workers of the wait group have ended.
func (t *Target) usage(ctx context.Context, w *window, running *sync.WaitGroup) (time.Duration, error) {
	if t.process == 0 {
		running.Wait()
		return 0, nil
	}
	pause(ctx, time.Until(w.from))
	before, first := Usage(t.process)
	running.Wait()
	after, second := Usage(t.process)
	return after - before, errors.Join(first, second)
}

// Usage returns the processor time of a process on this machine, in user and system mode. It
// only works on Linux. Other load on the machine affects processor time less than a rate,
// because a process that waits for a processor uses no processor time.
func Usage(process int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		return 0, fmt.Errorf("reading a process's time: %w", err)
	}
	// The second field is the program's name in parentheses. The name can contain any characters.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const user, system = 14 - 3, 15 - 3 // proc(5) counts from 1; fields 1 and 2 are removed
	if len(fields) <= system {
		return 0, errors.New("reading a process's time: too few fields")
	}
	var ticks int64
	for _, field := range [][]byte{fields[user], fields[system]} {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading a process's time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}
