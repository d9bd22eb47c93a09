package htpasswd

import "github.com/tidewaiter/tidewaiter/policy"

// claimsOf converts the claims of the config. Each claim is a list of strings.
func claimsOf(written map[string]map[string][]string) map[string]map[string]any {
	all := make(map[string]map[string]any, len(written))
	for name, claims := range written {
		all[name] = make(map[string]any, len(claims))
		for claim, values := range claims {
			all[name][claim], _ = policy.CanonicalClaim(values)
		}
	}
	return all
}
