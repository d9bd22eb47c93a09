package when_test

import (
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// A rule with a condition matches only if the condition holds.
func ExampleCompiler_Compile() {
	main, err := when.NewCompiler().Compile(`claims.ref == "refs/heads/main"`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, claims := range []map[string]any{{"ref": "refs/heads/main"}, {"ref": "refs/heads/dev"}, {}} {
		job := &policy.Principal{Kind: policy.Workload, Name: "job", Claims: claims}
		fmt.Println(main.Holds(&policy.Request{Principal: job}))
	}
	// Output:
	// true <nil>
	// false <nil>
	// false the claim "ref" is missing
}

// Uses lists the claims of a condition and the types that they must have.
func ExampleUses() {
	c, err := when.NewCompiler().Compile(`claims.attempt == 2 && claims.ref.startsWith("refs/tags/")`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, use := range when.Uses(c) {
		fmt.Printf("%d:%d: %s must be %s\n", use.Line, use.Column, use.Claim, use.Kinds)
	}
	// Output:
	// 1:1: attempt must be a number
	// 1:24: ref must be a text
}

// A condition that does not read the request is constant. Its author probably intended something
// else.
func ExampleConstant() {
	c, err := when.NewCompiler().Compile(`1 < 2`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(when.Constant(c))
	// Output: true true
}

func Example() {
	freeze, err := when.NewCompiler().Compile(`now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, day := range []int{27, 28} {
		holds, err := freeze.Holds(&policy.Request{Now: time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC)})
		fmt.Println(holds, err)
	}

	_, err = when.NewCompiler().Compile(`"ops" in grops || now.getHours("Europe/Pariss") < 8`)
	fmt.Println(err)
	// Output:
	// false <nil>
	// true <nil>
	// 1:10: unknown name "grops" (did you mean "groups"?)
}
