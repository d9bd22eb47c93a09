package credentials_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// harness is accountstest.Harness with additional methods for the tests in this package.
type harness struct{ *accountstest.Harness }

func newHarness(t testing.TB, url string) *harness { return &harness{accountstest.New(t, url)} }

// onEachDatabase runs a test with each database.
func onEachDatabase(t *testing.T, f func(*testing.T, *harness)) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) { f(t, newHarness(t, d.Ready(t))) })
}

var (
	operator   = accountstest.Operator
	passwordOf = accountstest.PasswordOf
	presented  = accountstest.Presented
	refreshing = accountstest.PresentedRefresh
	is         = accountstest.Is
	isInvalid  = accountstest.IsInvalid
	newSecret  = accountstest.NewSecret
)

func second[T any](_ T, err error) error        { return err }
func third[A, B any](_ A, _ B, err error) error { return err }

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}
