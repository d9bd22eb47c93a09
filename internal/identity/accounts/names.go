package accounts

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/policy"
)

// maxName is the maximum length of a name in bytes: that of a DNS label (63), plus one.
const maxName = 64

// CheckName checks the name of a new user, robot or group. The error is an InvalidError.
func CheckName(name string) error { return checkName(name) }

// checkName checks a new name. The grammar is that of a path component of a repository name
// (distribution/reference: path-component).
func checkName(name string) error {
	invalid := func(format string, args ...any) error {
		return admin.Invalid("name", format, args...)
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
			return invalid("%+q has a character that cannot be in a name: use the letters a to z, digits, and single \".\", \"_\" and \"-\" between them", name)
		}
	}
	return invalid("%q must begin and end with a letter or a digit, and have one separator between them (\".\", \"_\", \"__\", or some \"-\")", name)
}

// validName reports whether name matches the grammar of names.
func validName(name string) bool {
	if name == "" || len(name) > maxName || !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]) {
		return false
	}
	for i := 0; i < len(name); i++ {
		if alphanumeric(name[i]) {
			continue
		}
		begin := i
		for !alphanumeric(name[i+1]) { // ends: the last byte is alphanumeric
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

// parseLogin splits a login into kind and name. It returns false if the login is invalid.
func parseLogin(login string) (kind policy.Kind, name string, ok bool) {
	if name, robot := strings.CutPrefix(login, RobotPrefix); robot {
		return policy.Robot, name, validName(name)
	}
	return policy.User, login, validName(login)
}
