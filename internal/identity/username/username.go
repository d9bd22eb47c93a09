// Package username defines which names principals can have, and the name with which a principal
// signs in.
package username

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// RobotPrefix is the prefix of a robot's name at sign-in and in the reports of registries. So the
// names of a robot called ci and of a user called ci differ. The prefix needs no quotes in a shell
// or in YAML.
const RobotPrefix = "robot+"

// MaxLength is the maximum length of a name in bytes.
const MaxLength = 256

// Login returns the name with which a principal signs in: "ann", "robot+ci".
func Login(p *policy.Principal) string {
	if p.Kind == policy.Robot {
		return RobotPrefix + p.Name
	}
	return p.Name
}

// Problem returns the reason why a principal cannot have a name, or "". All visible characters are
// allowed, even "*", because names are never patterns. Invisible characters and spaces at the ends
// are not allowed, because names that differ only in such characters look alike.
func Problem(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > MaxLength:
		return fmt.Sprintf("has %d bytes, and the limit is %d", len(name), MaxLength)
	case strings.TrimSpace(name) != name:
		return "begins or ends with white space"
	case !text.Printable(name):
		return "contains an unprintable character"
	}
	return ""
}

// Valid reports whether a principal can have a name.
func Valid(name string) bool { return Problem(name) == "" }
