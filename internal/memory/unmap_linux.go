package memory

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram removes the pages of the executable from this process's memory. When a page is used
// again, the kernel maps it again from its cache. After the start, 28 MB are mapped. Most of these
// pages were needed only during the start, by CEL's parser, initializers and the config reader.
//
// Only mappings without private pages are removed. A private page, such as a page with a
// debugger's breakpoint, differs from the file and would be lost.
func unmapProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	mappings, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer mappings.Close()

	// A mapping begins with "00400000-0105f000 r-xp 00000000 fe:00 42 /usr/bin/tidewaiter"; lines
	// such as "Anonymous: 0 kB" follow. See proc_pid_smaps(5).
	var start, end uint64
	var failed []error
	lines := bufio.NewScanner(mappings)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		if addresses := strings.Split(fields[0], "-"); len(addresses) == 2 && len(fields) >= 5 {
			start, end = 0, 0
			if len(fields) < 6 || strings.Join(fields[5:], " ") != program || fields[1][1] == 'w' {
				continue
			}
			if start, err = strconv.ParseUint(addresses[0], 16, 64); err != nil {
				return fmt.Errorf("reading /proc/self/smaps: %w", err)
			}
			if end, err = strconv.ParseUint(addresses[1], 16, 64); err != nil {
				return fmt.Errorf("reading /proc/self/smaps: %w", err)
			}
			continue
		}
		if fields[0] != "Anonymous:" || fields[1] != "0" || start == end {
			continue
		}
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
		if errno != 0 {
			failed = append(failed, fmt.Errorf("madvise: %w", errno))
		}
	}
	return errors.Join(append(failed, lines.Err())...)
}
