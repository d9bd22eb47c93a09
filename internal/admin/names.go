package admin

import "strings"

// maxName is the maximum length of a name in bytes.
const maxName = 64

// CheckName returns an InvalidError of the field "name" if the name of a new user, robot, group
// or token is invalid. The grammar is that of a path component of a repository name
// (distribution/reference: path-component).
func CheckName(name string) error {
	invalid := func(format string, args ...any) error {
		return Invalid("name", format, args...)
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
	return invalid("%q must begin and end with a letter or a digit, and must not have two separators in a row (separators are \".\", \"_\", \"__\", or several \"-\")", name)
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
		for !alphanumeric(name[i+1]) { // the loop ends: the last byte is alphanumeric
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
