package setup

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
)

// registry is the config file of an existing registry.
type registry struct {
	path    string
	doc     yaml.Node // parsed with its comments, for the merged file
	exposed bool      // all users of this machine can read the file

	Auth map[string]any
	HTTP struct {
		Addr, Host string
		TLS        map[string]any
		Debug      struct{ Addr string }
	}
	Storage struct {
		Delete struct{ Enabled bool }
	}
}

// maxRegistryConfig is the maximum size of the registry's config file in bytes. Real configs have
// a few kilobytes.
const maxRegistryConfig = 1 << 20

// readRegistry reads the config file of a registry.
func readRegistry(path string) (*registry, error) {
	text, err := endpoint.ReadFile(path, maxRegistryConfig)
	if err != nil {
		return nil, fmt.Errorf("reading the registry's config: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the registry's config: %w", err)
	}
	r := &registry{path: path, exposed: runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0}
	if err := yaml.Load(text, &r.doc); err != nil {
		return nil, fmt.Errorf("reading the registry's config %s: %w", path, err)
	}
	if len(r.doc.Content) != 1 || r.doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("reading the registry's config %s: it is not a mapping of keys to values", path)
	}
	for _, n := range []*yaml.Node{get(r.doc.Content[0], "notifications"), get(get(r.doc.Content[0], "notifications"), "endpoints")} {
		if n != nil && n.Kind == yaml.AliasNode {
			return nil, fmt.Errorf("reading the registry's config %s:%d: the notifications are an alias (*%s), to which Tidewaiter's endpoint cannot be added: replace the alias by its content", path, n.Line, n.Value)
		}
	}
	if err := r.doc.Load(r); err != nil {
		return nil, fmt.Errorf("reading the registry's config %s: %w", path, err)
	}
	return r, nil
}

// service returns the service name: the name in the existing section auth.token, or the address
// at which clients reach the registry. If onlyLocal is true, all clients are on this machine,
// and a config without a host but with a port is enough.
func (r *registry) service(onlyLocal bool) (string, error) {
	if t, ok := r.Auth["token"].(map[string]any); ok {
		if name, ok := t["service"].(string); ok && name != "" {
			return name, nil
		}
	}
	if host := r.host(); host != "" {
		return host, nil
	}
	if len(r.HTTP.TLS) > 0 || !onlyLocal {
		return "", fmt.Errorf("%s does not name the registry's host (http.host): give the host that clients type, such as --service registry.example.com", r.path)
	}
	_, port, err := net.SplitHostPort(r.HTTP.Addr)
	if err != nil || port == "" {
		return "", fmt.Errorf("%s names neither the registry's host (http.host) nor a port (http.addr): give --service", r.path)
	}
	return net.JoinHostPort("localhost", port), nil
}

// host returns the host and port of http.host, or "".
func (r *registry) host() string {
	if u, err := url.Parse(r.HTTP.Host); err == nil && u.Host != "" {
		return u.Host
	}
	return ""
}

// url returns the URL at which clients reach the registry, or "" if the registry's config does
// not contain it.
func (r *registry) url() string {
	if u, err := url.Parse(r.HTTP.Host); err == nil && u.Hostname() != "" && (u.Scheme == "http" || u.Scheme == "https") {
		return u.Scheme + "://" + u.Host
	}
	return ""
}

// loginAddress returns the address for docker login. If there is no proxy in front of the
// registry, the address has the registry's port.
func (r *registry) loginAddress(service string) string {
	if host := r.host(); host != "" {
		return host
	}
	_, port, err := net.SplitHostPort(r.HTTP.Addr)
	switch {
	case err == nil && strings.ContainsAny(service, " /"): // a name that is not a host
		return net.JoinHostPort("localhost", port)
	case err != nil, port == "443", len(r.HTTP.TLS) == 0, strings.Contains(service, ":"):
		return service
	}
	return net.JoinHostPort(service, port)
}

// freePort returns the first port that the registry does not listen on, starting at the default
// port.
func (r *registry) freePort() string {
	for port := defaultPort; ; port++ {
		text := strconv.Itoa(port)
		if r == nil || !listensAt(r.HTTP.Addr, text) && !listensAt(r.HTTP.Debug.Addr, text) {
			return text
		}
	}
}

func listensAt(address, port string) bool {
	_, its, err := net.SplitHostPort(address)
	return err == nil && its == port
}

// authKind returns the kind of authentication that the file configures, or "".
func (r *registry) authKind() string {
	for kind := range r.Auth {
		if kind != "none" {
			return kind
		}
	}
	return ""
}

// passwords returns the path of the registry's password file, or "".
func (r *registry) passwords() string {
	h, ok := r.Auth["htpasswd"].(map[string]any)
	if !ok {
		return ""
	}
	path, _ := h["path"].(string)
	if path != "" && !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.path), path)
	}
	return path
}

// merge returns the registry's config with the section auth replaced and Tidewaiter's endpoint
// added to its notifications.
func (r *registry) merge(ours []byte) ([]byte, error) {
	var part yaml.Node
	if err := yaml.Load(ours, &part); err != nil {
		return nil, err
	}
	theirs, add := r.doc.Content[0], part.Content[0]
	set(theirs, "auth", get(add, "auth"))

	endpoint := get(get(add, "notifications"), "endpoints").Content[0]
	notifications := get(theirs, "notifications")
	if notifications == nil || notifications.Kind != yaml.MappingNode {
		set(theirs, "notifications", get(add, "notifications"))
	} else if list := get(notifications, "endpoints"); list == nil || list.Kind != yaml.SequenceNode {
		set(notifications, "endpoints", get(get(add, "notifications"), "endpoints"))
	} else {
		name := get(endpoint, "name").Value
		list.Content = slices.DeleteFunc(list.Content, func(e *yaml.Node) bool {
			n := get(e, "name")
			return n != nil && n.Value == name
		})
		list.Content = append(list.Content, endpoint)
	}
	return yaml.Dump(&r.doc, yaml.WithIndent(2))
}

// get returns the value of a key, or nil.
func get(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// set sets the value of a key, and appends the key if it is missing.
func set(n *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
}

// maxPasswords limits the size of the registry's password file: about 100,000 users.
const maxPasswords = 10 << 20

// people are the users of a password file.
type people struct {
	text  string // the valid lines, and comments
	names []string
	left  []string // the errors of lines that are left out
}

// readPeople reads a password file as the registry does. Lines are trimmed, and if several lines
// have the same name, the last of these lines is used. readPeople leaves out the lines that
// Tidewaiter rejects, because a single such line would make the whole file invalid. The registry
// also rejects these lines, except for a few unusual names.
func readPeople(path string) (people, error) {
	text, err := endpoint.ReadFile(path, maxPasswords)
	if err != nil {
		return people{}, err
	}
	var lines []string
	last := make(map[string]int) // index of the last line, by name
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, _, ok := strings.Cut(line, ":"); ok && line[0] != '#' {
			if before, twice := last[name]; twice {
				lines[before] = ""
			}
			last[name] = len(lines)
		}
		lines = append(lines, line)
	}
	taken, err := htpasswd.Read(path, []byte(strings.Join(lines, "\n")))
	problems, ok := errors.AsType[htpasswd.Problems](err)
	if err != nil && !ok {
		return people{}, err
	}
	var p people
	for _, wrong := range problems {
		p.left = append(p.left, fmt.Sprintf("line %d: %s", wrong.Line, wrong.Text))
	}
	isTaken := make(map[int]bool) // by line number, from 0
	for _, l := range taken {
		p.names = append(p.names, l.Name)
		isTaken[l.Number-1] = true
	}
	for i, line := range lines {
		if isTaken[i] || strings.HasPrefix(line, "#") {
			p.text += line + "\n"
		}
	}
	return p, nil
}

// joinFirst joins the first few of the texts for a message.
func joinFirst(texts []string, separator string) string {
	const few = 5
	if len(texts) <= few {
		return strings.Join(texts, separator)
	}
	return strings.Join(texts[:few], separator) + separator + "…"
}

// Of the folders above path, unreadableFolder returns the first that other users may not enter,
// or "". The registry's user must be able to read the root certificate.
func unreadableFolder(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}
