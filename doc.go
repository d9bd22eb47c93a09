// Package tidewaiter is the map of the house; there is no code here.
//
// Tidewaiter is an authorization service for container registries. It answers four questions, and
// each has a room:
//
//	who is asking?              internal/identity, and a folder in it for each source
//	what may they do, and why?  policy, over what scope reads from a request; internal/rulebook has the rules,
//	                            and internal/ruleset says what may be written as one
//	which papers prove it?      token, with keys that internal/keyring renews
//	what happened?              internal/journal, which also takes what notification decodes
//
// A token request goes through server (HTTP) to issuer, which is the one place where a request becomes
// an answer: it asks identity, then policy, then keyring, and tells the journal. An event goes through
// server to notification to the journal.
//
// scope, policy, token and notification do no I/O, start no goroutine and read no clock: they can be
// used by other programs, and tested without any. rules reads files of rules for such programs, by
// the code that reads them for config. tokenserver is for other programs, too: it is the token
// endpoint as an http.Handler, and server uses its decoding and its answers. Programs look after all of it through api. config reads
// tidewaiter.yaml, and dockerauth makes one of what docker_auth's users have; app puts all rooms together;
// cmd/tidewaiter is the command line, and manual writes its pages for man. standalone is Tidewaiter and a
// registry in one process; e2e holds it against real registries and clients; bench measures it.
//
// What secrets look like, so that none is sent on or kept where it does not belong, is known to internal/secret.
//
// Which room may import which is a table in house_test.go, and that test holds it.
package tidewaiter
