package client

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
)

// file is the credentials file of docker, podman, skopeo and Helm.
type file struct {
	Auths map[string]remembered `json:"auths"`
}

type remembered struct {
	Auth          string `json:"auth"` // name:password in base64
	IdentityToken string `json:"identitytoken,omitempty"`
}

// writeToken writes a file with a refresh token. Like the file of docker login, it has the name,
// but no password.
func writeToken(path, host, name, refreshToken string) error {
	auth := base64.StdEncoding.EncodeToString([]byte(name + ":"))
	data, err := json.Marshal(file{map[string]remembered{host: {auth, refreshToken}}})
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// readToken returns the refresh token of a file. It fails if the file also has a password.
func readToken(path, host string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	of := f.Auths[host]
	auth, err := base64.StdEncoding.DecodeString(of.Auth)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	if of.IdentityToken != "" && len(auth) > 0 && auth[len(auth)-1] != ':' {
		return "", fmt.Errorf("%s has a password in addition to the refresh token", path)
	}
	return of.IdentityToken, nil
}
