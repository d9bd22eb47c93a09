package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAnswersHaveTheGivenLength(t *testing.T) {
	handler, err := newHandler(2300)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string) string {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path+"?service=x", nil))
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Code != http.StatusOK || len(body) != 2300 || answer.Header().Get("Content-Length") != "2300" {
			t.Errorf("%s: %d, %d bytes, Content-Length %s", path, answer.Code, len(body), answer.Header().Get("Content-Length"))
		}
		return string(body)
	}
	if first, second := ask("/write"), ask("/write"); first != second {
		t.Error("two answers of /write differ")
	}
	if first, second := ask("/sign"), ask("/sign"); first == second {
		t.Error("two answers of /sign have the same signature")
	}
}

func TestInvalidLengths(t *testing.T) {
	for _, bytes := range []int{-1, 0, 100, 1 << 20} {
		if _, err := newHandler(bytes); err == nil {
			t.Errorf("a length of %d bytes was accepted", bytes)
		}
	}
}

func TestItListensOnlyOnLoopback(t *testing.T) {
	for _, address := range []string{"", ":5010", "0.0.0.0:5010", "192.0.2.1:5010", "localhost:5010", "[::]:5010"} {
		if err := serve(address, 2300); err == nil {
			t.Errorf("listens on %q", address)
		}
	}
}
