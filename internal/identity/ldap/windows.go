package ldap

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

// accountDisable is the bit ACCOUNTDISABLE of userAccountControl.
const accountDisable = 0x2

// accountDisabled returns the reason why userAccountControl makes the account unusable, or "".
func accountDisabled(control string) string {
	bits, err := strconv.ParseInt(control, 10, 64)
	switch {
	case err != nil:
		return "is not a number"
	case bits&accountDisable != 0:
		return "has the bit ACCOUNTDISABLE set"
	}
	return ""
}

// windowsEpoch is 1601-01-01 in Unix seconds. Windows times count steps of 100 ns since this time.
const windowsEpoch = -11_644_473_600

// windowsTimePassed returns the reason why accountExpires makes the account unusable, or "". 0 and
// the largest number mean never.
func windowsTimePassed(text string, now time.Time) string {
	steps, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return "is not a time"
	case steps <= 0 || steps == 1<<63-1:
		return ""
	case now.Before(time.Unix(windowsEpoch+steps/1e7, steps%1e7*100)):
		return ""
	}
	return "has passed"
}

// guid formats an objectGUID as Windows does. Its first three numbers are stored little-endian.
func guid(b []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x",
		binary.LittleEndian.Uint32(b[0:4]), binary.LittleEndian.Uint16(b[4:6]), binary.LittleEndian.Uint16(b[6:8]), b[8:10], b[10:16])
}
