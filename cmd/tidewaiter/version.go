package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// build describes this build of the program.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from uncommitted changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func versionCommand() command {
	return command{
		use:     "version",
		short:   "Print the version",
		example: "  tidewaiter version --output json",
		output:  true,
		run:     func(s *session) error { return s.print(thisBuild(), "%s", thisBuild()) },
	}
}

// String returns the line that version and --version print.
func (b build) String() string {
	return fmt.Sprintf("tidewaiter %s (%s, %s)", b.Version, b.Go, b.Platform)
}

// thisBuild returns the version and the commit that the linker and the Go toolchain recorded.
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	b := build{Version: cmp.Or(version, info.Main.Version, "(devel)"), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
