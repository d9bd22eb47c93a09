package accounts_test

import (
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// harness is accountstest.Harness, with methods of the tests in this package.
type harness struct{ *accountstest.Harness }

func newHarness(t testing.TB, url string) *harness { return &harness{accountstest.New(t, url)} }

// each runs a test with each database.
func each(t *testing.T, f func(*testing.T, *harness)) {
	all := t // the name of all is the name of the database
	storetest.Each(t, func(t *testing.T, d storetest.Database) { f(t, newHarness(t, d.Ready(all))) })
}

var (
	operator   = accountstest.Operator
	passwordOf = accountstest.PasswordOf
	presented  = accountstest.Presented
	is         = accountstest.Is
	isInvalid  = accountstest.IsInvalid
)

// newSecret returns a new secret of a kind (package secret).
func newSecret(letter byte) identity.Secret {
	text, _ := secret.New(letter)
	return identity.NewSecret(text)
}

func second[T any](_ T, err error) error        { return err }
func third[A, B any](_ A, _ B, err error) error { return err }

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

func TestMain(m *testing.M) {
	if killed() {
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}
