package identitytest_test

import (
	"errors"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
)

func TestTheFakeKeepsToTheContract(t *testing.T) {
	fake := &identitytest.Fake{People: map[string]string{"ann": "wonderland"}, Groups: []string{"dev"}}
	identitytest.Run(t, identitytest.Subject{
		Source: fake, Kind: identity.Password, Name: "ann", Secret: "wonderland", Unknown: "nobody",
		Break: func() { fake.Fail(errors.New("the wire is cut")) },
	})
}
