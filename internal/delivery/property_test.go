package delivery_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Each entry is accepted at least once, and the entries of a repository are first accepted in
// order. This holds for any answers of the endpoint, and if the process is killed or stopped at
// any time.
func TestPropertyNothingIsLostAndRepositoriesAreInOrder(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		// A new webhook begins at the end of the journal.
		f.driver.Release(t.Context())
		f.hook.Name = fmt.Sprint("h", n)
		f.to = &receiver{now: f.clock}
		f.start()
		// Each entry is refused a number of times.
		refusals := make(map[string]int)
		f.to.answer = func(_, tag string) int {
			if refusals[tag] > 0 {
				refusals[tag]--
				return []int{0, 302, 400, 500}[refusals[tag]%4]
			}
			return 200
		}
		want := make(map[string][]string)
		push := func(count int) {
			var names []string
			for range count {
				repository := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "repository")
				n++
				tag := strconv.Itoa(n)
				if rapid.IntRange(0, 3).Draw(r, "is refused") == 0 {
					refusals[tag] = rapid.IntRange(1, 3).Draw(r, "refusals")
				}
				want[repository] = append(want[repository], tag)
				names = append(names, repository+":"+tag)
			}
			f.push(names...)
		}
		for range rapid.IntRange(1, 8).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"push", "push", "deliver", "wait", "kill", "stop"}).Draw(r, "step") {
			case "push":
				push(rapid.IntRange(1, 6).Draw(r, "entries"))
			case "deliver": // without saving
				f.driver.Round(t.Context(), rapid.IntRange(1, 5).Draw(r, "batches"))
			case "wait":
				f.now = f.now.Add(f.round())
			case "kill":
				f.start()
			case "stop":
				f.driver.Release(t.Context())
				f.start()
			}
		}
		for range 200 {
			if f.status().Behind == 0 {
				break
			}
			f.now = f.now.Add(min(f.round(), 10*time.Hour))
		}
		got := make(map[string][]string)
		for _, name := range f.to.tags(false) {
			repository, tag, _ := strings.Cut(name, ":")
			if !slices.Contains(got[repository], tag) {
				got[repository] = append(got[repository], tag)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatalf("want (-), accepted (+):\n%s", diff)
		}
	})
}
