package policy_test

import (
	"fmt"
	"testing"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

// A subject with any hash is found in a long list. With forty subjects, the first and the last
// bucket are used, too.
func TestSubjectsInLongLists(t *testing.T) {
	const places, subjects = 40, 20
	var source policy.Source
	for i := range places * subjects {
		source.Rules = append(source.Rules, policy.Rule{
			Name: fmt.Sprint(i), Subjects: []string{fmt.Sprintf("group:g%d", i)}, Names: []string{fmt.Sprintf("n%d/**", i/subjects)}, Actions: scope.Pull,
		})
	}
	p := policygen.Compile(t, source)
	for i := range places * subjects {
		who := &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{fmt.Sprintf("g%d", i)}}
		here, elsewhere := fmt.Sprintf("n%d/app", i/subjects), fmt.Sprintf("n%d/app", (i/subjects+1)%places)
		d := p.Decide(&policy.Request{Principal: who, Scopes: policygen.Scopes(t, "repository:"+here+":pull repository:"+elsewhere+":pull")})
		if d.Results[0].Granted != scope.Pull || d.Results[0].Causes[0].Rule.Name != fmt.Sprint(i) || d.Results[1].Granted != 0 {
			t.Errorf("group g%d: %v", i, d.Results)
		}
	}
}
