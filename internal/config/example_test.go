package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/config"
)

func ExampleLoad() {
	dir, err := os.MkdirTemp("", "tidewaiter-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{
		"cert.pem": "", "privatekey.pem": "",
		"tidewaiter.yaml": `registries:
  - service: registry.example.com
    lifetme: 10m
policy:
  rules:
    - { name: all, subjects: [everybody], repositories: ["**"], actions: [pull] }
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			fmt.Println(err)
			return
		}
	}
	_, err = config.Load(filepath.Join(dir, "tidewaiter.yaml"), config.Options{Keys: dir})
	fmt.Println(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""))
	// Output:
	// tidewaiter.yaml:3:5: unknown key "lifetme" (did you mean "lifetime"?)
	// tidewaiter.yaml:6:31: "everybody" is not a subject; there are anyone, signed-in, anonymous, user:NAME, group:NAME, robot:NAME and workload:NAME (did you mean "anyone"?)
}
