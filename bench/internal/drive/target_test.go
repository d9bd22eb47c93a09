package drive

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/notification"
)

func TestOnlyLoopbackIsPutUnderLoad(t *testing.T) {
	for _, address := range []string{
		"http://127.0.0.1:5001/token", "http://127.8.8.8/token", "http://[::1]:5001/token",
		"https://localhost/token", "http://[::ffff:127.0.0.1]:80/token",
	} {
		if _, err := NewTarget(t.Context(), TargetOptions{URL: address}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{
		"http://192.0.2.1:5001/token", "http://10.0.0.1/token", "http://0.0.0.0:5001/token", "http://[::]:5001/token",
		"http://169.254.169.254/token", "http://[2001:db8::1]/token", "http://[::ffff:192.0.2.1]/token",
	} {
		if _, err := NewTarget(t.Context(), TargetOptions{URL: address}); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{
		"", "127.0.0.1:5001", "ftp://127.0.0.1/", "http://", "http://127.0.0.1:0/", "http://127.0.0.1:99999/",
		"http://127.0.0.1/token?%zz", "http://ann:secret@127.0.0.1/", "http://127.0.0.1/to ken\r\nX: y",
	} {
		if _, err := NewTarget(t.Context(), TargetOptions{URL: address}); err == nil {
			t.Errorf("%q was accepted as a target", address)
		}
	}
}

// parseRequests parses each of a target's requests with the standard library and describes the
// request.
func parseRequests(t *testing.T, o TargetOptions) []string {
	t.Helper()
	target, err := NewTarget(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, text := range target.requests {
		from := bufio.NewReader(bytes.NewReader(text))
		r, err := http.ReadRequest(from)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		if from.Buffered() > 0 {
			t.Errorf("more than a request: %q", text)
		}
		values := r.URL.Query()
		if r.Method == http.MethodPost {
			if values, err = url.ParseQuery(string(body)); err != nil {
				t.Fatal(err)
			}
		}
		words := []string{r.Method, r.Host, r.URL.Path, values.Encode()}
		if user, password, ok := r.BasicAuth(); ok {
			words = append(words, user+" with "+password)
		}
		if value := r.Header.Get("X-Trace"); value != "" {
			words = append(words, value)
		}
		if value := r.Header.Get("X-Forwarded-For"); value != "" {
			words = append(words, "from "+value)
		}
		all = append(all, strings.Join(words, " "))
	}
	return all
}

func TestRequestsAreWhatClientsSend(t *testing.T) {
	const address = "http://127.0.0.1:5001/token?service=r.example&scope=repository:a/b:pull,push&scope=repository:h:5000/c:pull"
	const query = "scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ah%3A5000%2Fc%3Apull&service=r.example"
	for _, tt := range []struct {
		what string
		o    TargetOptions
		want []string
	}{
		{"anonymous", TargetOptions{URL: address}, []string{"GET 127.0.0.1:5001 /token " + query}},
		{"no path", TargetOptions{URL: "http://127.0.0.1"}, []string{"GET 127.0.0.1 / "}},
		{"Basic", TargetOptions{URL: address, User: "ann", Password: "a:b"}, []string{"GET 127.0.0.1:5001 /token " + query + " ann with a:b"}},
		{"header", TargetOptions{URL: address, Headers: []string{"X-Trace: 7"}}, []string{"GET 127.0.0.1:5001 /token " + query + " 7"}},
		{
			"form", TargetOptions{URL: address, User: "ann", Password: "a&b", Post: true},
			[]string{"POST 127.0.0.1:5001 /token client_id=tidewaiter-load&grant_type=password&password=a%26b&" + query + "&username=ann"},
		},
		{
			"several repositories", TargetOptions{URL: address, Vary: 2},
			[]string{
				"GET 127.0.0.1:5001 /token scope=repository%3Aa%2Fb-0%3Apull%2Cpush&scope=repository%3Ah%3A5000%2Fc-0%3Apull&service=r.example",
				"GET 127.0.0.1:5001 /token scope=repository%3Aa%2Fb-1%3Apull%2Cpush&scope=repository%3Ah%3A5000%2Fc-1%3Apull&service=r.example",
			},
		},
		{
			"several names", TargetOptions{URL: "http://127.0.0.1/", User: "ann", Password: "wrong", Names: 2},
			[]string{"GET 127.0.0.1 /  ann-0 with wrong", "GET 127.0.0.1 /  ann-1 with wrong"},
		},
		{
			"several names, each from another address", TargetOptions{URL: "http://127.0.0.1/", User: "ann", Password: "wrong", Names: 2, Apart: true},
			[]string{"GET 127.0.0.1 /  ann-0 with wrong from 10.0.0.0", "GET 127.0.0.1 /  ann-1 with wrong from 10.0.0.1"},
		},
	} {
		if diff := cmp.Diff(tt.want, parseRequests(t, tt.o)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.what, diff)
		}
	}
}

// A journal does not record a repeated event, so a measurement with repeats would be wrong.
func TestEachEventIsAnother(t *testing.T) {
	e := newEvents()
	target := &url.URL{Host: "127.0.0.1:5001", Path: "/notifications"}
	seen := map[string]bool{}
	for range 1000 {
		_, body, _ := bytes.Cut(e.writeNext(postEvent(target, ""), time.Unix(1e9, 5)), []byte("\r\n\r\n"))
		events, bad, err := notification.Decode(body)
		if err != nil || len(bad) > 0 || len(events) != 1 {
			t.Fatalf("%v, %v: %s", err, bad, body)
		}
		if !events[0].Time.Equal(time.Unix(1e9, 5)) || len(events[0].ID) != 36 || events[0].Digest == "" {
			t.Fatalf("%+v", events[0])
		}
		seen[events[0].ID] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d ids of 1000 events", len(seen))
	}
}

func TestHeadersCannotEndTheRequest(t *testing.T) {
	for _, header := range []string{"X: y\r\nZ: w", "no colon", ": nameless", "two words: x"} {
		if _, err := NewTarget(t.Context(), TargetOptions{URL: "http://127.0.0.1/", Headers: []string{header}}); err == nil {
			t.Errorf("%q was accepted as a header", header)
		}
	}
}
