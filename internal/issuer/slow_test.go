package issuer_test

import (
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
)

// A push of five minutes outlives its tokens. Clients request another token when expires_in has
// passed by their own clock, or when the registry rejects the token. In both cases, the next token
// is valid immediately, even if another client requested the same scopes a moment earlier. A
// client requests about one token for each lifetime.
func TestPushOutlivesItsTokens(t *testing.T) {
	for _, lifetime := range []time.Duration{time.Minute, 90 * time.Second, 2 * time.Minute} {
		b := newFixture(t, func(l *issuer.Live) { l.Registries["r"].Lifetime = lifetime })
		type client struct {
			what   string
			begins int // second
			renews func(age time.Duration, a issuer.Answer) bool
			token  issuer.Answer
			at     time.Time
			tokens int
		}
		byClock := func(age time.Duration, a issuer.Answer) bool { return age >= time.Duration(a.ExpiresIn)*time.Second }
		whenRefused := func(_ time.Duration, a issuer.Answer) bool { return b.timeClaims(a)[2] <= 0 }
		clients := []*client{
			{what: "docker, which renews by its clock", renews: byClock},
			{what: "crane, which renews after a refusal", renews: whenRefused},
			{what: "docker, five seconds later", begins: 5, renews: byClock},
			{what: "crane, seven seconds later", begins: 7, renews: whenRefused},
		}
		for second := range 300 {
			for _, c := range clients {
				if second < c.begins {
					continue
				}
				if c.tokens == 0 || c.renews(b.clock.Now().Sub(c.at), c.token) {
					c.token, c.at = b.issue(request("ann", "repository:a:pull,push")), b.clock.Now()
					c.tokens++
				}
				if times := b.timeClaims(c.token); times[0] > 0 || times[2] <= 0 {
					t.Fatalf("%s, lifetime %s, second %d: the token is valid from %d to %d seconds from now", c.what, lifetime, second, times[0], times[2])
				}
			}
			b.clock.Pass(time.Second)
		}
		for _, c := range clients {
			if most := int(300*time.Second/lifetime) + 1; c.tokens > most {
				t.Errorf("%s, lifetime %s: %d tokens, want at most %d", c.what, lifetime, c.tokens, most)
			}
		}
	}
}
