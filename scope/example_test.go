package scope_test

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/scope"
)

// containerd requests the same repository twice. The last value is not a scope: an attacker has
// put it into a registry's challenge.
func ExampleParse() {
	asked, ignored, err := scope.Parse([]string{
		"repository:team/app:pull repository:team/app:pull,push",
		"repository:library/base:pull",
		"repository:FOO/bar:pull",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range asked {
		fmt.Println(s)
	}
	for _, i := range ignored {
		fmt.Printf("ignored %s: %s\n", i.Text, i.Reason)
	}
	// Output:
	// repository:team/app:pull,push
	// repository:library/base:pull
	// ignored repository:FOO/bar:pull: the name has an upper-case letter
}

func ExampleActions() {
	asked := scope.Pull | scope.Push
	allowed := scope.Pull | scope.Delete
	granted := asked & allowed
	fmt.Println(granted, granted.Has(scope.Push))
	// Output: pull false
}
