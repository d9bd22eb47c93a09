package token

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Problem is a property of a root that a registry does not accept, or about which the root's owner
// should know.
type Problem struct {
	Kind string `json:"kind"` // a fixed word: "expired", "server-authentication", …
	Text string `json:"text"` // "the certificate expired on 2026-01-31"
	Hint string `json:"hint"` // how to solve the problem
	// Refuse lists the registries that accept no token with this root: "2.8", "3.0", "3.1". If it
	// is empty, the problem is only a warning.
	Refuse []string `json:"refuse,omitempty"`
}

// Fatal reports whether at least one registry accepts no token with this root.
func (p Problem) Fatal() bool { return len(p.Refuse) > 0 }

var everyRegistry = []string{"2.8", "3.0", "3.1"}

// A root is reported as expiring if it expires in less than expiryNotice. The owner needs this
// time to add the next root to all registries and to restart them.
const expiryNotice = 30 * 24 * time.Hour

// Problems returns the reasons why registries would refuse the tokens of this root at the
// given time, if the root signed tokens in the given form. It also returns warnings. The
// results are based on the behavior of registries 2.8.3, 3.0.0 and 3.1.2.
func (r *Root) Problems(form KeyID, now time.Time) []Problem {
	if r.empty() {
		return []Problem{{Kind: "empty", Text: "there is no certificate", Hint: "create a root: tidewaiter init", Refuse: everyRegistry}}
	}
	c := r.certificate
	var all []Problem
	if form == X5C {
		all = append(all, r.checkDates(now)...)
		if len(c.UnhandledCriticalExtensions) > 0 {
			all = append(all, Problem{
				Kind:   "critical-extension",
				Text:   fmt.Sprintf("the certificate has a critical extension that registries do not know (%s)", c.UnhandledCriticalExtensions[0]),
				Hint:   "create a root without this extension: tidewaiter init",
				Refuse: everyRegistry,
			})
		}
		if c.IsCA && !r.IssuesLeaves() {
			all = append(all, Problem{
				Kind: "no-leaves",
				Text: "the certificate is a CA that may not sign certificates (keyCertSign is missing), so tokens are signed with its own key and keys do not rotate",
				Hint: "create a root with keyCertSign: tidewaiter init",
			})
		}
	}
	if r.alg == EdDSA {
		all = append(all, Problem{
			Kind:   "ed25519",
			Text:   "the key is Ed25519: with this certificate in its rootcertbundle registry 2.8 does not start",
			Hint:   "use EC P-256, or use only registries 3.0 or newer",
			Refuse: []string{"2.8"},
		})
	}
	if bad := r.registriesWithOtherKID(form); len(bad) > 0 {
		all = append(all, Problem{
			Kind:   "key-id",
			Text:   fmt.Sprintf("the form %s names the key in a way that registry %s does not know", form, strings.Join(bad, " and ")),
			Hint:   "use x5c, which all registries support, or choose the form of each registry's version",
			Refuse: bad,
		})
	}
	return append(all, r.otherUses()...)
}

// checkDates checks the certificate's dates. Registries check them without leeway.
func (r *Root) checkDates(now time.Time) []Problem {
	c := r.certificate
	switch {
	case now.After(c.NotAfter):
		return []Problem{{
			Kind:   "expired",
			Text:   "the certificate expired on " + day(c.NotAfter),
			Hint:   "create a new root, or let registries find the key by kid, because they then ignore the dates",
			Refuse: everyRegistry,
		}}
	case now.Before(c.NotBefore):
		return []Problem{{
			Kind:   "not-yet-valid",
			Text:   "the certificate is not valid before " + c.NotBefore.UTC().Format(time.RFC3339),
			Hint:   "check the clock of this machine, and of the machine that created the certificate",
			Refuse: everyRegistry,
		}}
	case now.Add(expiryNotice).After(c.NotAfter):
		return []Problem{{
			Kind: "expires-soon",
			Text: "the certificate expires on " + day(c.NotAfter),
			Hint: "add the next root to the rootcertbundle of each registry, and restart the registry",
		}}
	}
	return nil
}

// registriesWithOtherKID returns the versions of registries whose kid for the root's key differs
// from the kid in the given form. These registries do not find the key of a token.
func (r *Root) registriesWithOtherKID(form KeyID) []string {
	switch {
	case r.alg == EdDSA && (form == Libtrust || form == Thumbprint30):
		return everyRegistry
	case r.alg == RS256 && (form == Thumbprint || form == Thumbprint30):
		return []string{"2.8"}
	}
	return map[KeyID][]string{Libtrust: {"3.0", "3.1"}, Thumbprint: {"2.8", "3.0"}, Thumbprint30: {"2.8", "3.1"}}[form]
}

// otherUses returns a problem for each sign that the root is not only for tokens. Every
// certificate under a root in a rootcertbundle can sign tokens. If the root is a company's CA,
// each server with a certificate of that CA could forge tokens.
func (r *Root) otherUses() []Problem {
	c := r.certificate
	var all []Problem
	if len(c.ExtKeyUsage) > 0 || len(c.DNSNames) > 0 || len(c.IPAddresses) > 0 {
		what := "names servers"
		for _, u := range c.ExtKeyUsage {
			if u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny {
				what = "is for TLS"
			}
		}
		all = append(all, Problem{
			Kind: "server-authentication",
			Text: "the certificate " + what + ": everybody with that server's key can forge tokens",
			Hint: "create a root that is only for tokens: tidewaiter init",
		})
	}
	if name, ok := publicIssuer(c); ok {
		all = append(all, Problem{
			Kind: "public-issuer",
			Text: "the certificate is of the public authority " + name + ", which also issues certificates to others",
			Hint: "create a root that is only for tokens: tidewaiter init",
		})
	} else if c.IsCA && c.Issuer.String() != c.Subject.String() {
		all = append(all, Problem{
			Kind: "shared-issuer",
			Text: fmt.Sprintf("the certificate is an intermediate CA of %q: all certificates that the intermediate CA issued can sign tokens", c.Issuer),
			Hint: "create a root that is only for tokens: tidewaiter init",
		})
	}
	return all
}

// publicIssuer returns the public authority that issued a certificate. It compares the
// organization in the issuer's name with a list of authorities. The list is not complete, but it
// has the authorities that issued most certificates of the web.
func publicIssuer(c *x509.Certificate) (string, bool) {
	known := []string{
		"let's encrypt", "internet security research group", "digicert", "sectigo", "usertrust", "comodo",
		"globalsign", "google trust services", "amazon", "godaddy", "starfield", "entrust", "zerossl",
		"microsoft", "actalis", "buypass", "certum", "quovadis", "identrust", "ssl.com", "cloudflare",
		"geotrust", "thawte", "rapidssl", "harica", "swisssign", "verisign",
	}
	for _, name := range c.Issuer.Organization {
		if slices.ContainsFunc(known, func(k string) bool { return strings.Contains(strings.ToLower(name), k) }) {
			return name, true
		}
	}
	return "", false
}
