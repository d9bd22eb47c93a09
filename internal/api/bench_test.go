package api_test

import (
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

// BenchmarkListUsers reads a page of 100 users over HTTP, from the middle of API_BENCH_USERS users
// (default 100,000).
func BenchmarkListUsers(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("API_BENCH_USERS"))
	if err != nil {
		n = 100_000
	}
	h := newHarness(b, "sqlite:"+b.TempDir()+"/state.db")
	h.addMember("root", admin.Administrators)
	_, secret := h.createToken("root", "t")
	err = h.db.Write(b.Context(), "", func(tx *sql.Tx) error {
		insert, err := tx.Prepare("INSERT INTO accounts (id, kind, name, version, created, changed, expires, disabled, hash) VALUES ($1, 'user', $2, 1, 1, 1, 0, 0, '')")
		if err != nil {
			return err
		}
		defer insert.Close()
		for i := range n {
			if _, err := insert.Exec(fmt.Sprint("id", i), fmt.Sprintf("user%08d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	path := fmt.Sprintf("/users?limit=100&after=user%08d", n/2)
	for b.Loop() {
		h.requireStatus(200, bearer(secret), "GET", path, nil)
	}
}
