package main

import (
	"strings"
	"testing"
)

func TestOnlyTerminalsGetColour(t *testing.T) {
	var b strings.Builder
	if painted(&b) {
		t.Error("output that is not a terminal would be coloured")
	}
	const text = "a.yaml:1:2: wrong\n 1 | here\n   |  ^"
	if got := highlight(text, false); got != text {
		t.Errorf("without colour: %q", got)
	}
	want := "\x1b[1ma.yaml:1:2:\x1b[0m wrong\n 1 | here\n\x1b[31m   |  ^\x1b[0m"
	if got := highlight(text, true); got != want {
		t.Errorf("with colour: %q", got)
	}
}

func TestHealthChecksReachListenersOnThisMachine(t *testing.T) {
	for _, tt := range []struct {
		listens, at string
		own         bool
	}{
		{":8443", "127.0.0.1:8443", true},
		{"0.0.0.0:8443", "127.0.0.1:8443", true},
		{"[::]:8443", "[::1]:8443", true},
		{"localhost:8443", "localhost:8443", true},
		{"127.0.0.2:8443", "127.0.0.2:8443", true},
		{"[::1]:8443", "[::1]:8443", true},
		{"10.0.0.1:8443", "10.0.0.1:8443", false}, // its certificate is verified
		{"auth.example.com:443", "auth.example.com:443", false},
	} {
		at, own, err := reach(tt.listens)
		if err != nil || at != tt.at || own != tt.own {
			t.Errorf("%s: %s, %v, %v; want %s, %v", tt.listens, at, own, err, tt.at, tt.own)
		}
	}
	for _, address := range []string{"localhost:0", "localhost", "localhost:"} {
		if at, _, err := reach(address); err == nil {
			t.Errorf("%s: the health check would use %s", address, at)
		}
	}
}
