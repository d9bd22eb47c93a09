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

// write returns tidewaiter.yaml with the report at its top.
func (i *importer) write() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Imported from %s, a configuration of docker_auth. The report:", comment(i.file))
	for _, n := range i.notes {
		if n.Kind != Kept {
			line("#   %s", comment(n.String()))
		}
	}
	line("")
	line("listen:")
	line("  - address: %s", quote(i.out.address))
	if i.out.certificate != "" {
		line("    tls: { certificate: %s, key: %s }", quote(i.out.certificate), quote(i.out.key))
	}
	if i.out.path != "" {
		line("paths: { token: %s, token_aliases: [%s] }", quote(i.out.path), quote(i.out.path+"/token"))
	}
	if len(i.TrustedProxies) > 0 {
		line("trusted_proxies: %s", quoteAll(i.TrustedProxies))
	}
	if i.out.rootCertificate != "" {
		line("signing:")
		line("  root: { certificate: %s, key: %s }", quote(i.out.rootCertificate), quote(i.out.rootKey))
		if i.out.algorithm != "" {
			line("  algorithm: %s", i.out.algorithm)
		}
		if i.out.shared {
			line("  shared_root: true # its certificate also serves TLS")
		}
	}
	line("token:")
	if i.out.issuer != "" {
		line("  issuer: %s", quote(i.out.issuer))
	}
	if i.out.lifetime > 0 {
		line("  lifetime: %s", text.Duration(time.Duration(i.out.lifetime)*time.Second))
	}
	line("  anonymous: %t", i.out.anonymous)
	line("registries:")
	for _, s := range i.out.services {
		line("  - service: %s", quote(s))
	}
	i.writeIdentity(line)
	if len(i.out.rules) > 0 {
		line("policy:")
		line("  rules:")
		for _, r := range i.out.rules {
			for k, text := range r.Lines(quote) {
				if k == 0 {
					line("    - %s # line %d", text, r.line)
					continue
				}
				line("      %s", text)
			}
		}
	}
	if i.out.authorizer != nil {
		mark := ""
		if i.out.authorizerBeside {
			mark = "# "
		}
		line("%sauthorizer: { exec: { name: ext-authz, command: %s, grants: replace } }", mark, quoteAll(i.out.authorizer))
	}
	return b.Bytes()
}

func (i *importer) writeIdentity(line func(string, ...any)) {
	if len(i.out.users) == 0 && i.out.directory == nil && i.out.source == nil {
		return
	}
	line("identity:")
	if len(i.out.users) > 0 {
		line("  - htpasswd:")
		line("      name: users")
		line("      entries:")
		for _, u := range i.out.users {
			line("        - %s", quote(u.name+":"+u.hash))
		}
		if len(i.out.groups) > 0 {
			line("      groups:")
			for _, g := range i.out.groups {
				line("        %s: %s", quote(g.name), quoteAll(g.values))
			}
		}
		if len(i.out.claims) > 0 {
			line("      claims:")
			last := ""
			for _, c := range i.out.claims {
				if c.of != last {
					line("        %s:", quote(c.of))
					last = c.of
				}
				line("          %s: %s", quote(c.name), quoteAll(c.values))
			}
		}
	}
	if i.out.source != nil {
		line("  - exec: { name: ext-auth, command: %s }", quoteAll(i.out.source))
	}
	if d := i.out.directory; d != nil {
		i.writeDirectory(line, d)
	}
}

func (i *importer) writeDirectory(line func(string, ...any), d *directory) {
	line("  - ldap:")
	line("      name: directory")
	line("      servers: %s", quoteAll([]string{d.server}))
	if d.startTLS {
		line("      start_tls: true")
	}
	if d.plain {
		line("      plain: true")
	}
	for _, s := range []struct{ key, value string }{{"ca", d.ca}, {"bind_dn", d.bindDN}, {"bind_password_file", d.bindFile}} {
		if s.value != "" {
			line("      %s: %s", s.key, quote(s.value))
		}
	}
	line("      user:")
	for _, s := range []struct{ key, value string }{{"dn", d.dn}, {"base", d.base}, {"filter", d.filter}, {"name_attribute", d.nameFrom}} {
		if s.value != "" || s.key == "base" && d.dn == "" {
			line("        %s: %s", s.key, quote(s.value))
		}
	}
	if len(d.attributes) > 0 {
		line("        attributes:")
		for _, a := range d.attributes {
			line("          %s: %s", quote(a.of), quote(a.name))
		}
	}
	if d.memberOf {
		line("      groups: { member_of: true }")
	}
}

// texts returns the patterns of a rule that a repository's name can match.
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

// plain matches text that needs no quotes in YAML.
var plain = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9/_.-]*$`)

// quote quotes a text for YAML if needed.
func quote(s string) string {
	switch {
	case plain.MatchString(s) && !slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}, strings.ToLower(s)):
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
