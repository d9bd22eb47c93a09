package config

import (
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// address is a host or an IP address, which may be empty, and a port.
func address() strictyaml.Type[string] {
	return strictyaml.Scalar("address", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
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
			d.Suggest(n, suggestion, "%s is not an address such as :8443 or 127.0.0.1:8080", text.QuoteShort(s))
			return "", false
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			d.Problem(n, "%s is not a port: a port is a number up to 65535", text.QuoteShort(port))
			return "", false
		}
		if strings.ContainsAny(host, " /@*") {
			d.Problem(n, "%s is not a host name or an IP address", text.QuoteShort(host))
			return "", false
		}
		return s, true
	})
}

// prefix is a network or an address.
func prefix() strictyaml.Type[netip.Prefix] {
	return strictyaml.Scalar("network", func(d *strictyaml.Decoder, n *yaml.Node, s string) (netip.Prefix, bool) {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
			return netip.PrefixFrom(ip, ip.BitLen()), true
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			d.Problem(n, "%s is neither a network like 10.0.0.0/8 nor an IP address", text.QuoteShort(s))
			return netip.Prefix{}, false
		}
		if p != p.Masked() {
			d.Suggest(n, p.Masked().String(), "%s has bits beyond /%d", text.QuoteShort(s), p.Bits())
			return netip.Prefix{}, false
		}
		return p, true
	})
}

// webAddress is an http or https URL of a host, with or without a path.
func webAddress() strictyaml.Type[string] {
	return strictyaml.Scalar("URL", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		u, err := url.Parse(s)
		switch {
		case err != nil, u.Host == "" && u.Scheme != "http" && u.Scheme != "https":
			suggestion := ""
			if again, err := url.Parse("https://" + s); err == nil && again.Hostname() != "" && !strings.ContainsAny(s, " /@:") {
				suggestion = again.String()
			}
			d.Suggest(n, suggestion, "this is not a URL such as https://auth.example.com")
		case u.Scheme != "http" && u.Scheme != "https":
			d.Problem(n, "the scheme of the URL is %s; it must be http or https", text.QuoteShort(u.Scheme))
		case u.User != nil:
			d.Problem(n, "the URL has a name or password in it")
		case u.Hostname() == "":
			d.Problem(n, "the URL names no host")
		case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#"):
			d.Problem(n, "the URL has a query or fragment, which has no meaning here")
		default:
			return strings.TrimSuffix(s, "/"), true
		}
		return "", false
	})
}

// pathPattern matches the paths of endpoints. It does not match braces, because net/http would
// interpret them as wildcards.
var pathPattern = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// webPath is the path of an endpoint.
func webPath() strictyaml.Type[string] {
	return strictyaml.Scalar("path", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		switch {
		case !strings.HasPrefix(s, "/"):
			d.Suggest(n, "/"+s, "%s does not begin with a slash", text.QuoteShort(s))
		case !pathPattern.MatchString(s) || path.Clean(s) != s:
			d.Problem(n, "%s is not a plain path: use letters, digits, - . _ ~, and single slashes between them", text.QuoteShort(s))
		default:
			return s, true
		}
		return "", false
	})
}

// databaseURL is the URL of the database. Problems do not repeat the URL, because it can contain
// a password.
func databaseURL() strictyaml.Type[string] {
	return strictyaml.Scalar("database URL", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		scheme, rest, found := strings.Cut(s, ":")
		file, slashes := strings.CutPrefix(rest, "//")
		switch {
		case !found:
			d.Suggest(n, "sqlite:"+s, "the database URL has no scheme")
		case scheme == "postgres" || scheme == "postgresql":
			return postgresURL(d, n, s)
		case scheme != "sqlite":
			d.Problem(n, "the database URL must begin with sqlite: (sqlite:FILE, or sqlite::memory: to store nothing) or postgres: (postgres://USER@HOST/DATABASE)")
		case rest == ":memory:":
			return s, true
		case slashes && !strings.HasPrefix(file, "/"):
			d.Suggest(n, "sqlite:"+file, "two slashes begin a host name, but a file has no host")
		case strings.Trim(file, "/") == "" || strings.ContainsAny(file, "?#") || !text.OneLine(file):
			d.Problem(n, "the database URL names no file, or a file with ? or # in its name")
		default:
			return "sqlite:" + d.Path(file), true
		}
		return "", false
	})
}

// postgresURL checks the URL of a PostgreSQL database. The URL must not contain a password,
// because people show, copy and compare configs.
func postgresURL(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
	beside, query, _ := strings.Cut(s, "?")
	_, rest, slashes := strings.Cut(beside, "://")
	authority, database, _ := strings.Cut(rest, "/")
	user := ""
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user = authority[:i]
	}
	options, err := url.ParseQuery(query)
	switch {
	// If a password has a slash or a question mark, the parser ends the host there. The @ after
	// the password is then in the database's name or in the query.
	case strings.ContainsAny(user, ":") || strings.Contains(database+query, "@") || options.Has("password") || options.Has("sslpassword"):
		d.Problem(n, "the database URL contains a password: write it to a file and append ?password_file=FILE to the URL")
		return "", false
	case err != nil || !slashes || !text.OneLine(s) || strings.Contains(s, "#"):
		d.Problem(n, "the database URL is not valid: write postgres://user@host/database")
		return "", false
	case database == "" && !options.Has("dbname"):
		d.Problem(n, "the database URL names no database: write postgres://USER@HOST/DATABASE")
		return "", false
	}
	changed := false
	for _, key := range []string{"password_file", "passfile", "sslrootcert", "sslcert", "sslkey"} {
		file := options.Get(key)
		if file == "" || file == "system" { // "system" means the certificates of the system
			continue
		}
		file = d.Path(file)
		open, err := d.Check(file)
		if err != nil {
			d.Problem(n, "%s: %v", key, err)
			return "", false
		}
		for _, warning := range open.Warnings(file, key != "sslrootcert" && key != "sslcert") {
			d.Warn(n, "%s", warning)
		}
		options.Set(key, file)
		changed = true
	}
	if changed {
		return beside + "?" + options.Encode(), true
	}
	return s, true
}
