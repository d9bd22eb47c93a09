// Package tidewaiter documents the architecture. It has no code.
//
// Tidewaiter is an authorization service for container registries. It answers four questions,
// each in its own packages:
//
//	Who is the caller?            internal/identity/chain asks the sources of identities. Each
//	                              kind of source is a package below internal/identity.
//	                              internal/accounts manages users and robots. internal/credentials
//	                              manages the tokens and sessions that Tidewaiter issues to users
//	What may they do, and why?    policy, for the scopes that package scope parses. The rules come
//	                              from internal/rulebook; internal/ruleset defines what a rule may
//	                              contain. policy/ask explains decisions, and lists who may do
//	                              something
//	Which token proves it?        token, with keys that internal/keyring renews
//	What happened?                internal/journal, which also stores the events that notification
//	                              decodes. Packages below it: dedup recognizes repeated events,
//	                              sentence describes changes, tree has the hashes that prove
//	                              entries, checkpoint signs them, retention has the limits of
//	                              what is kept, and export writes CSV and lines of JSON.
//	                              internal/projection derives data from the journal. There are two
//	                              projections: internal/search is an index of the entries, and
//	                              internal/catalog lists the content of the registries.
//	                              internal/reconcile compares a registry with the catalog.
//	                              internal/manifests deletes manifests and sets tags back. Both
//	                              call a registry through internal/registryapi.
//	                              internal/delivery sends entries to webhooks
//
// server handles the HTTP request for a token. Only issuer turns that request into an answer:
// issuer calls chain, then policy, then keyring, and writes to the journal. Events go from server
// through notification to the journal.
//
// scope, policy, token and notification have no I/O, goroutines or clocks, so other programs can
// easily import and test these packages. rules reads files of rules for such programs. tokenserver
// is for other programs, too: it is the token endpoint as an http.Handler. server uses tokenserver
// to decode requests and to write answers. api is the HTTP API for administration. explain
// explains what the policy allows, for api and for the command line.
//
// config reads tidewaiter.yaml. policyfile reads the policy in that file and in files of rules
// and tests. Both decode with strictyaml. dockerauth translates a configuration of docker_auth
// into a tidewaiter.yaml.
//
// sources builds the identity sources of a config, and app builds the whole service. offline
// reads and changes accounts and rules without the service, or while the service runs. doctor
// checks a config, and the files, database and directories that the config names. marker notices
// that a database was lost. logging writes the log. cmd/tidewaiter is the command line, and
// manual generates its manual pages. standalone is Tidewaiter and a registry in one process. e2e
// tests Tidewaiter with real registries and clients. bench measures performance. standalone, e2e
// and bench are separate modules.
//
// internal/secret recognizes secrets in text, so that no secret is forwarded or stored.
// internal/loglimit limits how often the same line is logged. internal/cache remembers results for
// a short time. internal/durable writes files that are complete even after a crash.
// internal/notekey has the keys that sign checkpoints, and internal/witness cosigns the
// checkpoints of another machine. internal/endpoint checks the addresses and files of connections
// to other services. internal/memory returns memory to the system after a burst of work.
// internal/leak identifies leaked credentials. internal/policydiff compares two policies, and
// internal/replay compares recorded decisions with another policy. internal/advice finds the parts
// of a policy that nobody needs.
//
// internal/identity has what all sources of identities share: the presented credential, the result
// and the errors. username has the rules for names of principals, sourcename compares the names of
// sources, and setting describes errors in the settings of a source.
//
// internal/admin has what all managed objects share: who changes an object, with which rights,
// and how the change is written and journaled.
//
// The table in architecture_test.go defines which package may import which.
package tidewaiter
