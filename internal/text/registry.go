package text

import "strings"

// WithoutRegistry splits the address of an image, such as localhost:5000/team/app, into the
// registry and the repository. Users write this address in commands, but registries request only
// the repository. If the first part of a name cannot be a part of a repository, the result sure is
// true. A first part with a dot can be a registry, or a part of a mirror's repository. In this
// case, the result sure is false. If the name has no registry, the result host is "".
func WithoutRegistry(name string) (host, repository string, sure bool) {
	host, repository, ok := strings.Cut(name, "/")
	colon := strings.Contains(host, ":")
	switch {
	case !ok || host == "" || repository == "" || strings.Contains(host, "*"):
		return "", name, false
	case colon || host == "localhost":
		return host, repository, true
	case strings.Contains(host, "."):
		return host, repository, false
	}
	return "", name, false
}

// NamedWithoutRegistry is the message for a name that begins with a registry.
func NamedWithoutRegistry(repository string) string {
	return "repositories are named without the registry: " + Name(repository)
}
