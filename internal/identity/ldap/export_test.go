package ldap

import "runtime"

// AwaitWaiting returns when so many wait for one answer.
func AwaitWaiting(d *Directory, n int) {
	for {
		d.flights.mu.Lock()
		for _, fl := range d.flights.under {
			if fl.waiting == n {
				d.flights.mu.Unlock()
				return
			}
		}
		d.flights.mu.Unlock()
		runtime.Gosched()
	}
}
