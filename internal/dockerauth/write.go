package dockerauth

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// yamlWriter writes lines of YAML.
type yamlWriter struct{ bytes.Buffer }

func (w *yamlWriter) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// field writes a key with its value, or nothing if the value is empty. The key includes the
// spaces before it and the colon after it. A bool and a number are not quoted. A text is
// quoted.
func (w *yamlWriter) field(key string, value any) {
	switch v := value.(type) {
	case string:
		if v != "" {
			w.line("%s %s", key, quote(v))
		}
	case []string:
		if len(v) > 0 {
			w.line("%s %s", key, quoteAll(v))
		}
	case bool:
		if v {
			w.line("%s true", key)
		}
	}
}

// write returns tidewaiter.yaml with the report at its top.
func (i *importer) write() []byte {
	var w yamlWriter
	out := &i.out
	w.line("# Imported from %s, a configuration of docker_auth. The report:", comment(i.file))
	for _, n := range i.notes {
		if n.Kind != Kept {
			w.line("#   %s", comment(n.String()))
		}
	}
	w.line("\nlisten:\n  - address: %s", quote(out.address))
	if out.certificate != "" {
		w.line("    tls: { certificate: %s, key: %s }", quote(out.certificate), quote(out.key))
	}
	if out.path != "" {
		w.line("paths: { token: %s, token_aliases: [%s] }", quote(out.path), quote(out.path+"/token"))
	}
	w.field("trusted_proxies:", i.TrustedProxies)
	if out.rootCertificate != "" {
		w.line("signing:\n  root: { certificate: %s, key: %s }", quote(out.rootCertificate), quote(out.rootKey))
		w.field("  algorithm:", out.algorithm)
		if out.shared {
			w.line("  shared_root: true # its certificate also serves TLS")
		}
	}
	w.line("token:")
	w.field("  issuer:", out.issuer)
	if out.lifetime > 0 {
		w.line("  lifetime: %s", text.Duration(time.Duration(out.lifetime)*time.Second))
	}
	w.line("  anonymous: %t\nregistries:", out.anonymous)
	for _, s := range out.services {
		w.line("  - service: %s", quote(s))
	}
	if len(out.users) > 0 || out.directory != nil || out.source != nil {
		w.identity(out)
	}
	if len(out.rules) > 0 {
		w.line("policy:\n  rules:")
		for _, r := range out.rules {
			lines := r.Lines(quote)
			w.line("    - %s # line %d", lines[0], r.line)
			for _, line := range lines[1:] {
				w.line("      %s", line)
			}
		}
	}
	if out.authorizer != nil {
		comment := map[bool]string{true: "# "}[out.authorizerBeside]
		w.line("%sauthorizer: { exec: { name: ext-authz, command: %s, grants: replace } }", comment, quoteAll(out.authorizer))
	}
	return w.Bytes()
}

func (w *yamlWriter) identity(out *output) {
	w.line("identity:")
	if len(out.users) > 0 {
		w.line("  - htpasswd:\n      name: users\n      entries:")
		for _, u := range out.users {
			w.line("        - %s", quote(u.name+":"+u.hash))
		}
	}
	for k, g := range out.groups {
		if k == 0 {
			w.line("      groups:")
		}
		w.field("        "+quote(g.name)+":", g.values)
	}
	for k, c := range out.claims {
		if k == 0 {
			w.line("      claims:")
		}
		if k == 0 || c.of != out.claims[k-1].of {
			w.line("        %s:", quote(c.of))
		}
		w.field("          "+quote(c.name)+":", c.values)
	}
	if out.source != nil {
		w.line("  - exec: { name: ext-auth, command: %s }", quoteAll(out.source))
	}
	d := out.directory
	if d == nil {
		return
	}
	w.line("  - ldap:\n      name: directory\n      servers: [%s]", quote(d.server))
	w.field("      start_tls:", d.startTLS)
	w.field("      plain:", d.plain)
	w.field("      ca:", d.ca)
	w.field("      bind_dn:", d.bindDN)
	w.field("      bind_password_file:", d.bindFile)
	w.line("      user:")
	w.field("        dn:", d.dn)
	if d.dn == "" {
		w.line("        base: %s", quote(d.base))
	}
	w.field("        filter:", d.filter)
	w.field("        name_attribute:", d.nameFrom)
	for k, a := range d.attributes {
		if k == 0 {
			w.line("        attributes:")
		}
		w.field("          "+quote(a.of)+":", a.name)
	}
	if d.memberOf {
		w.line("      groups: { member_of: true }")
	}
}

// texts returns the patterns of a rule, without patterns that no name of a repository can
// match.
func (r rule) texts() (texts []string) {
	for _, p := range r.patterns {
		for _, text := range p.texts() {
			if (policy.Limit{Names: []string{text}, Actions: scope.Pull}).Check() == nil && !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

// plainText matches text that needs no quotes in YAML.
var plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9/_.-]*$`)

// quote returns a text as a YAML value, quoted if needed.
func quote(s string) string {
	switch {
	case plainText.MatchString(s) && !slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}, strings.ToLower(s)):
		return s
	case text.Printable(s) && strings.ContainsAny(s, `"\\`):
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return text.Quote(s)
}

func quoteAll(texts []string) string {
	quoted := make([]string, len(texts))
	for k, s := range texts {
		quoted[k] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// comment returns a text as one line.
func comment(s string) string { return text.Escape(strings.Join(strings.Fields(s), " ")) }
