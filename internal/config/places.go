package config

import (
	"net"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// address is what to listen at: a port, after a host or an IP address or nothing.
func address() valueType[string] {
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
			d.suggest(n, suggestion, "%s is not an address such as :8443 or 127.0.0.1:8080", text.QuoteShort(s))
			return "", false
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			d.problem(n, "%s is not a port: a port is a number up to 65535", text.QuoteShort(port))
			return "", false
		}
		if strings.ContainsAny(host, " /@*") {
			d.problem(n, "%s is not a host name or an IP address", text.QuoteShort(host))
			return "", false
		}
		return s, true
	})
}

// prefix is a network, or one address.
func prefix() valueType[netip.Prefix] {
	return scalar("network", func(d *decoder, n *yaml.Node, s string) (netip.Prefix, bool) {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
			return netip.PrefixFrom(ip, ip.BitLen()), true
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			d.problem(n, "%s is neither a network like 10.0.0.0/8 nor an IP address", text.QuoteShort(s))
			return netip.Prefix{}, false
		}
		if p != p.Masked() {
			d.suggest(n, p.Masked().String(), "%s has bits beyond /%d", text.QuoteShort(s), p.Bits())
			return netip.Prefix{}, false
		}
		return p, true
	})
}

// webAddress is an http or https URL of a host and perhaps a path.
func webAddress() valueType[string] {
	return scalar("URL", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		u, err := url.Parse(s)
		switch {
		case err != nil, u.Host == "" && u.Scheme != "http" && u.Scheme != "https":
			suggestion := ""
			if again, err := url.Parse("https://" + s); err == nil && again.Hostname() != "" && !strings.ContainsAny(s, " /@:") {
				suggestion = again.String()
			}
			d.suggest(n, suggestion, "this is not a URL such as https://auth.example.com")
		case u.Scheme != "http" && u.Scheme != "https":
			d.problem(n, "the scheme of the URL is %s; it must be http or https", text.QuoteShort(u.Scheme))
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

// pathPattern is what paths that are served look like. Braces are not among the characters: the
// server's patterns would take them as wildcards.
var pathPattern = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// webPath is the path of an address that is served.
func webPath() valueType[string] {
	return scalar("path", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		switch {
		case !strings.HasPrefix(s, "/"):
			d.suggest(n, "/"+s, "%s does not begin with a slash", text.QuoteShort(s))
		case !pathPattern.MatchString(s) || path.Clean(s) != s:
			d.problem(n, "%s is not a plain path: use letters, digits, - . _ ~, and single slashes between them", text.QuoteShort(s))
		default:
			return s, true
		}
		return "", false
	})
}

// filePath is the path of a file or folder; a relative one counts from the file that it is written in.
func filePath(kind string) valueType[string] {
	return scalar(kind, func(d *decoder, n *yaml.Node, s string) (string, bool) {
		switch {
		case s == "" || !text.OneLine(s):
			d.problem(n, "%s is not a file path", text.QuoteShort(s))
		case s == "~" || strings.HasPrefix(s, "~/"):
			d.problem(n, "%s is a home folder only in a shell; write its path", text.QuoteShort(s))
		default:
			return d.path(s), true
		}
		return "", false
	})
}

// filesPattern names files: one, or those of a folder whose names match.
type filesPattern struct{ folder, name string }

// filePattern is the path of a file, whose last part may be a pattern. A pattern of folders could pass over
// one that cannot be read, and with it over the denies in it.
func filePattern() valueType[filesPattern] {
	plain := filePath("file or pattern")
	return valueType[filesPattern]{kind: plain.kind, read: func(d *decoder, n *yaml.Node) (filesPattern, bool) {
		file, ok := plain.read(d, n)
		if !ok {
			return filesPattern{}, false
		}
		folder, name := filepath.Split(filepath.Clean(n.Value))
		if (filesPattern{name: folder}).isPattern() {
			d.problem(n, "only the last part of a path can be a pattern")
			return filesPattern{}, false
		}
		if _, err := filepath.Match(name, ""); err != nil {
			d.problem(n, "%s is not a pattern: a bracket is not closed, or nothing follows a backslash", text.QuoteShort(name))
			return filesPattern{}, false
		}
		return filesPattern{filepath.Dir(file), name}, true
	}}
}

// isPattern reports whether the name stands for others than itself.
func (p filesPattern) isPattern() bool { return strings.ContainsAny(p.name, `*?[\`) }

// path returns a path as it is to be opened.
func (d *decoder) path(s string) string {
	if filepath.IsAbs(s) {
		return filepath.Clean(s)
	}
	return filepath.Join(d.dir, s)
}

// state is where the state is kept. A problem does not repeat it: the URL of a database may hold a password.
func databaseURL() valueType[string] {
	return scalar("database URL", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		scheme, rest, found := strings.Cut(s, ":")
		file, slashes := strings.CutPrefix(rest, "//")
		switch {
		case !found:
			d.suggest(n, "sqlite:"+s, "the database URL has no scheme")
		case scheme == "postgres" || scheme == "postgresql":
			return serverState(d, n, s)
		case scheme != "sqlite":
			d.problem(n, "the database URL must begin with sqlite: (sqlite:FILE, or sqlite::memory: to store nothing) or postgres: (postgres://USER@HOST/DATABASE)")
		case rest == ":memory:":
			return s, true
		case slashes && !strings.HasPrefix(file, "/"):
			d.suggest(n, "sqlite:"+file, "two slashes begin a host name, but a file has no host")
		case strings.Trim(file, "/") == "" || strings.ContainsAny(file, "?#") || !text.OneLine(file):
			d.problem(n, "the database URL names no file, or a file with ? or # in its name")
		default:
			return "sqlite:" + d.path(file), true
		}
		return "", false
	})
}

// serverState is a database of PostgreSQL. A password does not belong into it: a config is shown, copied and compared.
func serverState(d *decoder, n *yaml.Node, s string) (string, bool) {
	beside, query, _ := strings.Cut(s, "?")
	_, rest, slashes := strings.Cut(beside, "://")
	authority, database, _ := strings.Cut(rest, "/")
	user := ""
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user = authority[:i]
	}
	options, err := url.ParseQuery(query)
	switch {
	// A password with a slash or a question mark in it ends the host too early, and leaves its @ behind.
	case strings.ContainsAny(user, ":") || strings.Contains(database+query, "@") || options.Has("password") || options.Has("sslpassword"):
		d.problem(n, "the database URL contains a password: write it to a file and append ?password_file=FILE to the URL")
		return "", false
	case err != nil || !slashes || !text.OneLine(s) || strings.Contains(s, "#"):
		d.problem(n, "the database URL is not valid: write postgres://user@host/database")
		return "", false
	case database == "" && !options.Has("dbname"):
		d.problem(n, "the database URL names no database: write postgres://USER@HOST/DATABASE")
		return "", false
	}
	changed := false
	for _, key := range []string{"password_file", "passfile", "sslrootcert", "sslcert", "sslkey"} {
		file := options.Get(key)
		if file == "" || file == "system" { // the word for the system's own roots
			continue
		}
		file = d.path(file)
		open, err := d.disk.look(file)
		if err != nil {
			d.problem(n, "%s: %v", key, err)
			return "", false
		}
		for _, warning := range open.warnings(file, key != "sslrootcert" && key != "sslcert") {
			d.warn(n, "%s", warning)
		}
		options.Set(key, file)
		changed = true
	}
	if changed {
		return beside + "?" + options.Encode(), true
	}
	return s, true
}
