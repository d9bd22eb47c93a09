package password_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/password"
)

func Example() {
	hashing := password.New(password.Options{})
	ctx := context.Background()

	hash, err := hashing.Hash(ctx, "correct horse battery staple")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hash[:strings.LastIndex(hash[:40], "$")])
	fmt.Println(hashing.Compare(ctx, hash, "correct horse battery staple"))
	fmt.Println(hashing.Compare(ctx, hash, "correct horse"))
	// Output:
	// $argon2id$v=19$m=19456,t=2,p=1
	// <nil>
	// wrong password
}

func ExampleCheck() {
	fmt.Println(password.Check("$apr1$HycWnX/r$1kPR1UPDNDAHtKSIMgXK1."))
	// Output:
	// an MD5 hash (apr1): make one with "htpasswd -B" or "tidewaiter hash-password"
}

// In docker_auth, wrong passwords delayed everyone. Here, a remembered password is accepted
// immediately, even while wrong passwords fill the limiter and its queue.
func TestRememberedPasswordsWorkDuringAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := password.New(password.Options{Parallel: 1, Queue: 8})
		if err := h.Compare(t.Context(), htpasswdBC4, "wonderland"); err != nil {
			t.Fatal(err)
		}
		release := h.HoldLimiter()
		answers := make(chan error, 20)
		for i := range cap(answers) {
			// Each request has its own name, because one name gets only an eighth of the queue.
			who := password.Requester{Name: fmt.Sprint("name ", i)}
			go func() { answers <- h.CompareFor(t.Context(), who, htpasswdBC4, fmt.Sprint("wrong ", i)) }()
		}
		synctest.Wait()
		if got, want := h.Stats(), (password.Stats{Hashed: 1, Busy: 12, Waiting: 8}); got != want {
			t.Errorf("while the limiter is occupied: %+v, want %+v", got, want)
		}

		if err := h.Compare(t.Context(), htpasswdBC4, "wonderland"); err != nil {
			t.Errorf("comparing a remembered password: %v", err)
		}
		release()
		got := map[error]int{}
		for range cap(answers) {
			got[<-answers]++
		}
		if want := map[error]int{password.ErrBusy: 12, password.ErrMismatch: 8}; !cmp.Equal(got, want) {
			t.Errorf("answers %v, want %v", got, want)
		}
		if n := h.Flights(); n != 0 {
			t.Errorf("%d hashes are still in progress, want 0", n)
		}
	})
}

func TestOnlyMatchesAreRemembered(t *testing.T) {
	h := password.New(password.Options{})
	for _, tt := range []struct {
		hash, password string
		want           password.Stats
	}{
		{htpasswdBC4, "wrong", password.Stats{Hashed: 1}},
		{htpasswdBC4, "wrong", password.Stats{Hashed: 2}}, // wrong passwords are not remembered
		{htpasswdBC4, "wonderland", password.Stats{Hashed: 3}},
		{htpasswdBC4, "wonderland", password.Stats{Hashed: 3, Remembered: 1}},
		// This row has another hash of the same password.
		{cryptB, "wonderland", password.Stats{Hashed: 4, Remembered: 1}},
		// A remembered right password does not make a wrong password match.
		{htpasswdBC4, "wrong", password.Stats{Hashed: 5, Remembered: 1}},
	} {
		_ = h.Compare(t.Context(), tt.hash, tt.password)
		if got := h.Stats(); got != tt.want {
			t.Errorf("after %q: %+v, want %+v", tt.password, got, tt.want)
		}
	}
}

func TestEqualComparisonsShareOneHash(t *testing.T) {
	for _, tt := range []struct {
		password string
		want     error
	}{{"wonderland", nil}, {"wrong", password.ErrMismatch}} {
		synctest.Test(t, func(t *testing.T) {
			h := password.New(password.Options{})
			release := h.HoldLimiter()
			answers := make(chan error, 100)
			for range cap(answers) {
				go func() { answers <- h.Compare(t.Context(), htpasswdBC4, tt.password) }()
			}
			synctest.Wait()
			release()
			for range cap(answers) {
				if err := <-answers; !errors.Is(err, tt.want) {
					t.Errorf("%q: %v, want %v", tt.password, err, tt.want)
				}
			}
			if got, want := h.Stats(), (password.Stats{Hashed: 1, Shared: 99}); got != want {
				t.Errorf("%q: %+v, want %+v", tt.password, got, want)
			}
		})
	}
}

func TestThousandFirstUsesCostOneHash(t *testing.T) {
	h := password.New(password.Options{})
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if err := h.Compare(t.Context(), htpasswdB, "wonderland"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := h.Stats(); got.Hashed != 1 || got.Remembered+got.Shared != 999 {
		t.Errorf("%+v, want one hash", got)
	}
}

func TestCanceledCallerDoesNotCancelOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := password.New(password.Options{})
		release := h.HoldLimiter()
		first, leave := context.WithCancel(t.Context())
		left, stayed := make(chan error), make(chan error)
		go func() { left <- h.Compare(first, htpasswdBC4, "wonderland") }()
		synctest.Wait()
		go func() { stayed <- h.Compare(t.Context(), htpasswdBC4, "wonderland") }()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v, want %v", err, context.Canceled)
		}
		release()
		if err := <-stayed; err != nil {
			t.Errorf("who stayed: %v", err)
		}
	})
}

func TestHashWithoutCallersIsNotComputed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := password.New(password.Options{})
		release := h.HoldLimiter()
		ctx, leave := context.WithCancel(t.Context())
		answers := make(chan error)
		for range 2 {
			go func() { answers <- h.Compare(ctx, htpasswdBC4, "wonderland") }()
		}
		synctest.Wait()
		leave()
		// A caller that arrives at the moment of the cancellation does not share the canceled
		// call.
		if got := errors.Join(<-answers, <-answers); !errors.Is(got, context.Canceled) {
			t.Errorf("who left: %v", got)
		}
		late := make(chan error)
		go func() { late <- h.Compare(t.Context(), htpasswdBC4, "wonderland") }()
		synctest.Wait()
		release()
		if err := <-late; err != nil {
			t.Errorf("the caller that arrived after the cancellation: %v", err)
		}
		synctest.Wait()
		if got, want := h.Stats(), (password.Stats{Hashed: 1, Shared: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

func TestWaitIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := password.New(password.Options{Wait: 3 * time.Second})
		release := h.HoldLimiter()
		start := time.Now()
		if err := h.Compare(t.Context(), htpasswdBC4, "wonderland"); !errors.Is(err, password.ErrBusy) {
			t.Errorf("while the limiter is occupied: %v, want %v", err, password.ErrBusy)
		}
		if waited := time.Since(start); waited != 3*time.Second {
			t.Errorf("waited %v, want 3s", waited)
		}
		deadline, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Compare(deadline, htpasswdBC4, "wonderland"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a short deadline: %v, want %v", err, context.DeadlineExceeded)
		}
		synctest.Wait()
		release()
		if err := h.Compare(t.Context(), htpasswdBC4, "wonderland"); err != nil {
			t.Errorf("after the limiter is free: %v", err)
		}
	})
}

// User enumeration: an unknown name costs as much as a wrong password, in the same queue.
func TestDummyCostsAHash(t *testing.T) {
	h := password.New(password.Options{})
	for i, like := range []string{htpasswdBC4, argonOneThread, ""} {
		for range 2 { // the second time shows that a dummy is not remembered
			if err := h.Dummy(t.Context(), like, "nobody", "wonderland"); err != nil {
				t.Errorf("a dummy like %q: %v", like, err)
			}
		}
		if got, want := h.Stats(), (password.Stats{Hashed: uint64(2 * (i + 1))}); got != want {
			t.Errorf("after a dummy like %q: %+v, want %+v", like, got, want)
		}
	}
	if err := h.Dummy(t.Context(), "$apr1$", "nobody", "wonderland"); err == nil {
		t.Error("Dummy accepted an invalid example hash")
	}
	if n := h.Held(); n != 0 {
		t.Errorf("%d dummies are remembered", n)
	}
}

// Two known names with one password cost two hashes, so two unknown names must cost two hashes
// too.
func TestUnknownNamesShareNoDummy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := password.New(password.Options{})
		release := h.HoldLimiter()
		answers := make(chan error, 3)
		for _, name := range []string{"nobody", "no one", "nobody"} {
			go func() { answers <- h.Dummy(t.Context(), htpasswdBC4, name, "wrong") }()
		}
		synctest.Wait()
		release()
		for range cap(answers) {
			<-answers
		}
		if got, want := h.Stats(), (password.Stats{Hashed: 2, Shared: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

func TestPasswordsAreNeverPrinted(t *testing.T) {
	const canary = "canary-7b1f-password"
	h := password.New(password.Options{})
	hash, err := h.Hash(t.Context(), canary)
	if err != nil {
		t.Fatal(err)
	}
	_ = h.Compare(t.Context(), hash, canary)
	err = errors.Join(h.Compare(t.Context(), htpasswdBC4, canary), h.Compare(t.Context(), canary, canary), password.Check(canary),
		h.Dummy(t.Context(), canary, canary, canary), h.Dummy(t.Context(), "", canary, canary))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, seen := range []string{fmt.Sprintf(verb, h), fmt.Sprintf(verb, err), fmt.Sprintf(verb, h.Stats())} {
			if strings.Contains(seen, canary) || strings.Contains(seen, fmt.Sprintf("%x", canary)) {
				t.Errorf("%s prints the password: %s", verb, seen)
			}
		}
	}
}

func BenchmarkCompareRemembered(b *testing.B) {
	h := password.New(password.Options{})
	if err := h.Compare(b.Context(), htpasswdBC4, "wonderland"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := h.Compare(context.Background(), htpasswdBC4, "wonderland"); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkHashArgon2id(b *testing.B) {
	h := password.New(password.Options{})
	for b.Loop() {
		if _, err := h.Hash(b.Context(), "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHashBcrypt10(b *testing.B) {
	h := password.New(password.Options{})
	for b.Loop() {
		if _, err := h.HashBcrypt(b.Context(), "correct horse", 10); err != nil {
			b.Fatal(err)
		}
	}
}
