package accounts

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/policy"
)

// maxName is how long a name may be, in bytes. Sixty-four is a label of DNS, and one more.
const maxName = 64

// CheckName says whether a user, a robot or a group can have a name. The error is an InvalidError.
func CheckName(name string) error { return checkName(name) }

// checkName says what is wrong with a name that somebody wants to give. The grammar is that of a path
// part of a repository's name (distribution/reference: path-component).
func checkName(name string) error {
	invalid := func(format string, args ...any) error {
		return &InvalidError{Field: "name", Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case name == "":
		return invalid("it is empty")
	case len(name) > maxName:
		return invalid("it has %d bytes, the limit is %d", len(name), maxName)
	case validName(name):
		return nil
	}
	for _, r := range name {
		switch {
		case r >= 'A' && r <= 'Z':
			return invalid("%q has a capital letter: names are written in lower case (%q)", name, strings.ToLower(name))
		case r > '~' || r < '!', !alphanumeric(byte(r)) && r != '.' && r != '_' && r != '-':
			return invalid("%+q has a character that cannot be in a name: it takes letters a to z, digits, and single \".\", \"_\" and \"-\" between them", name)
		}
	}
	return invalid("%q must begin and end with a letter or a digit, and have one separator between them (\".\", \"_\", \"__\", or some \"-\")", name)
}

// validName says whether somebody can be called that.
func validName(name string) bool {
	if name == "" || len(name) > maxName || !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]) {
		return false
	}
	for i := 0; i < len(name); i++ {
		if alphanumeric(name[i]) {
			continue
		}
		begin := i
		for !alphanumeric(name[i+1]) { // the last is one
			i++
		}
		switch separator := name[begin : i+1]; {
		case separator == ".", separator == "_", separator == "__", strings.Trim(separator, "-") == "":
		default:
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// parseLogin takes a login apart. It is false for what nobody can be called.
func parseLogin(login string) (kind policy.Kind, name string, ok bool) {
	if name, robot := strings.CutPrefix(login, RobotPrefix); robot {
		return policy.Robot, name, validName(name)
	}
	return policy.User, login, validName(login)
}
