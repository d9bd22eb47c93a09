package ldap_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

func BenchmarkAuthenticate(b *testing.B) {
	for _, how := range []struct {
		name  string
		cache time.Duration
		group ldap.Groups
	}{
		{"remembered", time.Hour, ldap.Groups{}},
		{"asked", 0, ldap.Groups{}},
		{"asked with groups", 0, ldap.Groups{Bases: []string{groupsBase}}},
		{"asked with groups in groups", 0, ldap.Groups{Bases: []string{groupsBase}, Nested: ldap.Walk}},
	} {
		b.Run(how.name, func(b *testing.B) {
			options := sharedDirectory(b).options()
			options.Cache, options.Groups = how.cache, how.group
			d := open(b, options)
			c := identity.NewPresented("alice", "wonderland")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Authenticate(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("concurrent", func(b *testing.B) {
		d := open(b, sharedDirectory(b).options())
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				c := identity.NewPresented("alice", fmt.Sprint("wrong ", i))
				if _, err := d.Authenticate(b.Context(), c); !errors.Is(err, identity.ErrRejected) {
					b.Error(err)
				}
			}
		})
	})
}
