package text

import "strings"

// WithoutRegistry splits the address of an image, such as localhost:5000/team/app, into the
// registry and the repository. Users write this address in commands, but registries request only
// the repository. WithoutRegistry returns true if the first part of a name cannot be a part of a
// repository. A first part with a dot can be a registry, or a part of a mirror's repository. In
// this case, WithoutRegistry returns false. If the name has no registry, the host is "".
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
