package server_test

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/server"
)

// Each row is the client_id and the User-Agent that a client sends with a token request.
func TestShowsText(t *testing.T) {
	const docker = "docker/20.10.24+dfsg1 go/go1.19.8 kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client/28.2.2 \\(linux\\))"
	for _, tt := range []struct {
		what, clientID, agent string
		shows                 bool
	}{
		{"docker with a password", "", docker, true},
		{"docker login, and docker with a refresh token", "docker", docker, true},
		{"docker with containerd's store", "containerd-client", docker, false},
		{"docker build", "buildkit-client", "buildkit/v0.23", false},
		{"docker manifest", "registry-client", "Docker-Client/28.2.2 (linux)", false},
		{"crane", "", "crane/v0.22.1 go-containerregistry/v0.22.1", true},
		{"crane with a refresh token", "go-containerregistry", "crane/v0.22.1 go-containerregistry/v0.22.1", true},
		{"a program with crane's library, built without a version", "", "go-containerregistry", true},
		{"oras", "", "oras/1.3.6", true},
		{"oras with a refresh token", "oras-go", "oras/1.3.6", true},
		{"a program with oras's library", "", "oras-go", true},
		{"helm", "", "Helm/4.3.1", true},
		{"podman", "", "containers/5.23.1 (github.com/containers/image)", false},
		{"skopeo", "containers/image", "skopeo/1.9.3", false},
		{"regctl", "regclient/regctl", "regclient/regctl", false},
		{"containerd", "containerd-client", "containerd/2.0", false},
		{"containerd with docker's client_id", "docker", "containerd/2.0", false},
		{"a client that sends no name", "", "", false},
	} {
		if got := server.ShowsText(tt.clientID, tt.agent); got != tt.shows {
			t.Errorf("%s: %v, want %v", tt.what, got, tt.shows)
		}
	}
}
