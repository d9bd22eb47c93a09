package when_test

import (
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

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
