package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// scalar is a value in one line. What is written is taken as it is: 0777 and on are texts where texts are meant.
func scalar[T any](kind string, convert func(d *decoder, n *yaml.Node, s string) (T, bool)) shape[T] {
	return shape[T]{kind: kind, read: func(d *decoder, n *yaml.Node) (T, bool) {
		if n.Tag == "!!null" && n.Value != "" && n.Value != "~" && n.Style == 0 && n.Anchor == "" {
			return convert(d, n, n.Value) // "null" is a text like any other
		}
		if !d.is(n, yaml.ScalarNode, indefinite(kind)) {
			var none T
			return none, false
		}
		return convert(d, n, n.Value)
	}}
}

func indefinite(kind string) string {
	if strings.Contains(kind, " or ") || strings.HasPrefix(kind, "one of ") || kind == "true" {
		return kind
	}
	if strings.ContainsRune("aeiou", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + kind
}

// line is a text of one line, with something in it, and nothing at its ends that cannot be seen.
func line() shape[string] {
	return scalar("text", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		trimmed := strings.TrimSpace(s)
		switch {
		case trimmed == "":
			d.problem(n, "the text is empty")
		case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
			d.problem(n, "the text has a line end, a tab or a control character in it")
		case trimmed != s:
			d.suggest(n, trimmed, "the text begins or ends with white space")
		default:
			return s, true
		}
		return "", false
	})
}

// prose is a text of any number of lines, for people.
func prose() shape[string] {
	return scalar("text", func(d *decoder, n *yaml.Node, s string) (string, bool) { return s, true })
}

// boolean is true or false.
func boolean() shape[bool] {
	return scalar("true or false", func(d *decoder, n *yaml.Node, s string) (bool, bool) {
		if n.Style == 0 {
			switch s {
			case "true":
				return true, true
			case "false":
				return false, true
			}
		}
		suggestion := ""
		switch strings.ToLower(s) {
		case "yes", "on", "y", "true", "1":
			suggestion = "true"
		case "no", "off", "n", "false", "0":
			suggestion = "false"
		}
		d.suggest(n, suggestion, "true or false is wanted, not %s", quoted(s))
		return false, false
	})
}

// set is a key that can only be true: to leave it out is to say false.
func set() shape[bool] {
	s := boolean()
	inner := s.read
	s.kind = "true"
	s.read = func(d *decoder, n *yaml.Node) (bool, bool) {
		v, ok := inner(d, n)
		if ok && !v {
			d.problem(n, "it can only be true; leave out the key")
			return false, false
		}
		return v, ok
	}
	return s
}

// one is one of a few words.
func one[T ~string](of ...T) shape[T] {
	words := make([]string, len(of))
	for i, w := range of {
		words[i] = string(w)
	}
	return scalar("one of "+strings.Join(words, ", "), func(d *decoder, n *yaml.Node, s string) (T, bool) {
		for _, w := range of {
			if string(w) == s {
				return w, true
			}
		}
		d.suggest(n, d.nearest(s, words), "%s is none of %s", quoted(s), strings.Join(words, ", "))
		return "", false
	})
}

// duration is a time in Go's notation between two bounds.
func duration(least, most time.Duration) shape[time.Duration] {
	return scalar("duration", func(d *decoder, n *yaml.Node, s string) (time.Duration, bool) {
		v, err := time.ParseDuration(s)
		switch {
		case err != nil:
			d.suggest(n, durationMeant(s), "%s is no duration like 90s, 5m or 24h", quoted(s))
			return 0, false
		case v < least || v > most:
			d.problem(n, "%s is not between %s and %s", quoted(s), brief(least), brief(most))
			return 0, false
		case v%time.Second != 0:
			d.problem(n, "%s is not whole seconds, as tokens have them", quoted(s))
			return 0, false
		}
		return v, true
	})
}

// durationMeant guesses a duration from what is none: a number is of seconds, as others have it.
func durationMeant(s string) string {
	s = strings.ToLower(strings.ReplaceAll(s, " ", ""))
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	number, err := strconv.Atoi(s[:digits])
	if err != nil || number <= 0 || number > 1_000_000 {
		return ""
	}
	unit := time.Second
	switch rest := s[digits:]; {
	case rest == "" || strings.HasPrefix(rest, "s"):
	case strings.HasPrefix(rest, "m"):
		unit = time.Minute
	case strings.HasPrefix(rest, "h"):
		unit = time.Hour
	case strings.HasPrefix(rest, "d"):
		unit = 24 * time.Hour
	case strings.HasPrefix(rest, "w"):
		unit = 7 * 24 * time.Hour
	default:
		return ""
	}
	return brief(time.Duration(number) * unit)
}

// brief prints a duration without what is zero: 5m, not 5m0s.
func brief(v time.Duration) string {
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// address is what to listen at: a port, after a host or an IP address or nothing.
func address() shape[string] {
	return scalar("address", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			suggestion := ""
			switch _, notPort := strconv.ParseUint(s, 10, 16); {
			case notPort == nil:
				suggestion = ":" + s
			case strings.Contains(s, "://"):
				if u, err := url.Parse(s); err == nil && u.Port() != "" {
					suggestion = u.Host
				}
			}
			d.suggest(n, suggestion, "%s is no address like :8443 or 127.0.0.1:8080", quoted(s))
			return "", false
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			d.problem(n, "%s is no port: a number up to 65535 is wanted", quoted(port))
			return "", false
		}
		if strings.ContainsAny(host, " /@*") {
			d.problem(n, "%s is no host name and no IP address", quoted(host))
			return "", false
		}
		return s, true
	})
}

// prefix is a network, or one address.
func prefix() shape[netip.Prefix] {
	return scalar("network", func(d *decoder, n *yaml.Node, s string) (netip.Prefix, bool) {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
			return netip.PrefixFrom(ip, ip.BitLen()), true
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			d.problem(n, "%s is no network like 10.0.0.0/8, and no IP address", quoted(s))
			return netip.Prefix{}, false
		}
		if p != p.Masked() {
			d.suggest(n, p.Masked().String(), "%s has bits that /%d leaves out", quoted(s), p.Bits())
			return netip.Prefix{}, false
		}
		return p, true
	})
}

// webAddress is an http or https URL of a host and perhaps a path.
func webAddress() shape[string] {
	return scalar("URL", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		u, err := url.Parse(s)
		switch {
		case err != nil, u.Host == "" && u.Scheme != "http" && u.Scheme != "https":
			suggestion := ""
			if again, err := url.Parse("https://" + s); err == nil && again.Hostname() != "" && !strings.ContainsAny(s, " /@:") {
				suggestion = again.String()
			}
			d.suggest(n, suggestion, "this is no URL like https://auth.example.com")
		case u.Scheme != "http" && u.Scheme != "https":
			d.problem(n, "the scheme of the URL is %s; http or https is wanted", quoted(u.Scheme))
		case u.User != nil:
			d.problem(n, "the URL has a name or password in it") // which is not repeated
		case u.Hostname() == "":
			d.problem(n, "the URL names no host")
		case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#"):
			d.problem(n, "the URL has a query or fragment, which has no meaning here")
		default:
			return strings.TrimSuffix(s, "/"), true
		}
		return "", false
	})
}

// pathCharacters may stand in a path that is served. Braces are not among them: the server's patterns
// would take them as wildcards.
const pathCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"

// webPath is the path of an address that is served.
func webPath() shape[string] {
	return scalar("path", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		switch {
		case !strings.HasPrefix(s, "/"):
			d.suggest(n, "/"+s, "%s does not begin with a slash", quoted(s))
		case s == "/" || strings.HasSuffix(s, "/"):
			d.problem(n, "%s ends with a slash", quoted(s))
		case strings.Trim(s, pathCharacters) != "" || strings.Contains(s, "//") || strings.Contains(s+"/", "/./") || strings.Contains(s+"/", "/../"):
			d.problem(n, "%s is no plain path: letters, digits, - . _ ~, and single slashes are", quoted(s))
		default:
			for i := range len(s) {
				if !strings.Contains(pathCharacters, s[i:i+1]) {
					d.problem(n, "%s is no plain path: letters, digits, - . _ ~, and single slashes are", quoted(s))
					return "", false
				}
			}
			return s, true
		}
		return "", false
	})
}

// filePath is the path of a file or folder; a relative one counts from the file that it is written in.
func filePath(kind string) shape[string] {
	return scalar(kind, func(d *decoder, n *yaml.Node, s string) (string, bool) {
		switch {
		case s == "" || strings.ContainsAny(s, "\x00\n"):
			d.problem(n, "%s is no path of a file", quoted(s))
		case s == "~" || strings.HasPrefix(s, "~/"):
			d.problem(n, "%s is the shell's way to name a home folder, and has no meaning here", quoted(s))
		default:
			return d.path(s), true
		}
		return "", false
	})
}

// filesPattern names files: one, or all that match.
type filesPattern struct {
	path    string
	matches bool // path is a pattern
}

// filePattern is the path of a file, or a pattern of such. Only what is written makes a pattern: the
// folder that it counts from may be called what it likes.
func filePattern() shape[filesPattern] {
	plain := filePath("file or pattern")
	return shape[filesPattern]{kind: plain.kind, read: func(d *decoder, n *yaml.Node) (filesPattern, bool) {
		path, ok := plain.read(d, n)
		if !ok || !strings.ContainsAny(n.Value, `*?[\`) {
			return filesPattern{path: path}, ok
		}
		if _, err := filepath.Match(n.Value, ""); err != nil {
			d.problem(n, "%s is no pattern: a bracket is not closed, or nothing follows a backslash", quoted(n.Value))
			return filesPattern{}, false
		}
		if !filepath.IsAbs(n.Value) {
			escape := strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`)
			path = filepath.Join(escape.Replace(d.dir), n.Value)
		}
		return filesPattern{path, true}, true
	}}
}

// path returns a path as it is to be opened.
func (d *decoder) path(s string) string {
	if filepath.IsAbs(s) {
		return filepath.Clean(s)
	}
	return filepath.Join(d.dir, s)
}

// state is where the state is kept. A problem does not repeat it: the URL of a database may hold a password.
func state() shape[string] {
	return scalar("state URL", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		scheme, rest, found := strings.Cut(s, ":")
		file, slashes := strings.CutPrefix(rest, "//")
		switch {
		case !found:
			d.suggest(n, "sqlite:"+s, "the state has no scheme")
		case scheme != "sqlite":
			d.problem(n, "state is kept in SQLite: sqlite:FILE, or sqlite::memory: to keep nothing")
		case rest == ":memory:":
			return s, true
		case slashes && !strings.HasPrefix(file, "/"):
			d.suggest(n, "sqlite:"+file, "two slashes begin a host, and a file has none")
		case strings.Trim(file, "/") == "" || strings.ContainsAny(file, "?#\x00\n"):
			d.problem(n, "the state names no file, or one with ? or # in its name")
		default:
			return fmt.Sprintf("sqlite:%s", d.path(file)), true
		}
		return "", false
	})
}
