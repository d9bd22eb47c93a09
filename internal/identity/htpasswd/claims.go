package htpasswd

// claimsOf makes the claims of principals, as ID tokens and directories have them: lists of texts.
func claimsOf(written map[string]map[string][]string) map[string]map[string]any {
	all := make(map[string]map[string]any, len(written))
	for name, claims := range written {
		all[name] = make(map[string]any, len(claims))
		for claim, values := range claims {
			all[name][claim] = values
		}
	}
	return all
}
