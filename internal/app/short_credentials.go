package app

import (
	"context"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// CheckCredentials warns about access tokens and robots' secrets that max_credential_lifetime
// ends early. It returns nothing if the database cannot be read: CheckDatabase reports that.
func CheckCredentials(ctx context.Context, cfg *config.Config) strictyaml.Problems {
	own := accountsOf(cfg)
	if own == nil || own.MaxCredentialLifetime <= 0 {
		return nil
	}
	a, closing, err := ReadAccounts(ctx, cfg)
	if err != nil {
		return nil
	}
	cut, ended, err := a.Credentials.CutShort(ctx)
	if closing() != nil || err != nil || cut == 0 {
		return nil
	}
	return strictyaml.Problems{{File: cfg.File, Text: fmt.Sprintf(
		"identity: accounts: max_credential_lifetime of %s ends %d access tokens and robots' secrets early, %d of them now: tidewaiter token list shows when each expires",
		own.MaxCredentialLifetime, cut, ended)}}
}
