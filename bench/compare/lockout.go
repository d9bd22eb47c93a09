package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
)

// noProxy means that the client's address is the address of the connection.
var noProxy netip.Addr

// measureLockout measures whether strangers can lock out a user, and how many of their guesses are
// checked. The strangers guess 200 times at one name, each time from another network, and
// continue after a restart of the server.
func (m *measurement) measureLockout(ctx context.Context) error {
	return m.guessed(ctx, "lockout", 200, 10)
}

// guessesGoOn is how many guesses the strangers send before each sign-in of the user after the
// restart.
const guessesGoOn = 2

func (m *measurement) guessed(ctx context.Context, name string, guesses, signIns int) (err error) {
	fmt.Fprintf(m.progress, "%d guesses at one name, from as many networks …\n", guesses)
	d := deployment{name: name, reuse: true, rules: 1}
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	home := networkAddress(peoplePlaces, 0)
	alice := func() (int, error) {
		v := newVisitor(home)
		defer v.close()
		status, _, err := v.signIn(ctx, s.address, user, password, noProxy)
		return status, err
	}
	if status, err := alice(); err != nil || status != http.StatusOK {
		return fmt.Errorf("the first sign-in: status %d: %w", status, err)
	}
	if s, err = m.restart(ctx, s, d); err != nil {
		return err
	}

	guessed, checked := map[int]int{}, 0.0
	made := 0
	guess := func(n int) error {
		before, err := s.count(ctx, "tidewaiter_password_hashes_total")
		if err != nil {
			return err
		}
		for range n {
			v := newVisitor(networkAddress(guessPlaces, made))
			status, _, err := v.signIn(ctx, s.address, user, fmt.Sprint("guess ", made), noProxy)
			v.close()
			if err != nil {
				return err
			}
			guessed[status]++
			made++
		}
		after, err := s.count(ctx, "tidewaiter_password_hashes_total")
		checked += after - before
		return err
	}
	if err := guess(guesses); err != nil {
		return err
	}
	statuses := map[int]int{}
	for range signIns { // each time with an empty cache and the same database
		if s, err = m.restart(ctx, s, d); err != nil {
			return err
		}
		if err := guess(guessesGoOn); err != nil {
			return err
		}
		status, err := alice()
		if err != nil {
			return err
		}
		statuses[status]++
	}
	m.add(bar{
		What:  fmt.Sprintf("sign-ins from a known address after %d guesses and a restart, of %d", guesses, signIns),
		Value: float64(statuses[http.StatusOK]), AtLeast: number(float64(signIns)),
		Beside: fmt.Sprintf("statuses %v, each after a restart and %d more guesses", statuses, guessesGoOn),
	})
	// The limit is 100 guesses a day and one more each minute; the run takes less than two
	// minutes.
	m.add(bar{
		What:  fmt.Sprintf("guesses that were checked, of %d", made),
		Value: checked, AtMost: number(102), Beside: fmt.Sprintf("statuses %v", guessed),
	})
	return nil
}
