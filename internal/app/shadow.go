package app

import (
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/replay"
	"github.com/tidewaiter/tidewaiter/policy"
)

// noShadow is logged if the shadow policy has an error. The service runs without a shadow policy.
const noShadow = "the shadow policy has an error and judges no request"

// readShadow reads the files of the shadow policy. An error is only logged.
func (a *App) readShadow(cfg *config.Config) {
	a.shadowFiles.Store(nil)
	if len(cfg.Shadow) == 0 {
		return
	}
	files, err := policyfile.LoadRules(cfg.Shadow)
	if err != nil {
		a.log.Warn(noShadow, "error", err)
		return
	}
	a.shadowFiles.Store(&files.Rules)
}

// shadowBeside returns the shadow policy that belongs to a policy in force. It returns nil if
// there is no shadow policy, or if the shadow policy has an error.
func (a *App) shadowBeside(inForce *policy.Policy) *policy.Policy {
	source := a.shadowFiles.Load()
	if source == nil {
		return nil
	}
	shadow, err := replay.Beside(*source, inForce)
	if err != nil {
		a.log.Warn(noShadow, "error", err)
		return nil
	}
	return shadow
}
