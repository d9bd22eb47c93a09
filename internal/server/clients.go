package server

import "strings"

// showsText reports whether the client is known to show its user the text of a 403. For all other
// clients, an error is worse than a token without the requested access. Only this function uses a
// client's name, and the result affects only the kind of answer. So a client with a false name
// gets no additional access.
//
//	docker/20.10.24 go/go1.19 …              docker with its own image store: GET without a
//	                                         client_id, or POST as "docker"
//	crane/0.22 go-containerregistry/v0.22.1  crane, cosign, ko, kaniko; the version may be missing
//	oras/1.3.6, oras-go                      oras, and programs that use its library
//	Helm/4.3.1                               Helm, which uses it too
//
// docker with containerd's image store sends the same User-Agent as docker, but does not show the
// text. With credentials, it sends the client_id "containerd-client"; without credentials, it
// sends no client_id. podman, skopeo, regctl and containerd do not show the text, either.
func showsText(clientID, agent string) bool {
	switch {
	case strings.HasPrefix(agent, "docker/"):
		return clientID == "" || clientID == "docker"
	case strings.Contains(agent, "go-containerregistry"):
		return true
	}
	return strings.HasPrefix(agent, "oras/") || strings.HasPrefix(agent, "oras-go") || strings.HasPrefix(agent, "Helm/")
}
