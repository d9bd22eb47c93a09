package server

import "strings"

// showsText says whether a client was seen to show its user the text of a 403; to all others that is worse than a
// token that is not enough. This is the only place where a client's name counts, and it decides the wording alone: who
// lies about it gets the same rights.
//
//	docker/20.10.24 go/go1.19 …               docker with its own store, which signs in by GET without a client_id,
//	                                          or by POST as "docker"
//	crane/0.22 go-containerregistry/v0.22.1   crane, cosign, ko, kaniko; without a version where it was built
//	                                          without one
//	oras/1.3.6, oras-go                       oras, and what is made of its library
//	Helm/4.3.1                                Helm, which is, too
//
// docker with containerd's store goes by the same name, and loses the text: it signs in as "containerd-client", and
// only who shows nothing is without a client_id. podman, skopeo, regctl and containerd lose it, too.
func showsText(clientID, agent string) bool {
	switch {
	case strings.HasPrefix(agent, "docker/"):
		return clientID == "" || clientID == "docker"
	case strings.Contains(agent, "go-containerregistry"):
		return true
	}
	return strings.HasPrefix(agent, "oras/") || strings.HasPrefix(agent, "oras-go") || strings.HasPrefix(agent, "Helm/")
}
