package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// limitedServer is a server whose listener limits connections. Its connections are pipes with
// addresses that the test chooses.
type limitedServer struct {
	*testing.T
	connections *server.Connections
	arriving    chan net.Conn
	answering   chan struct{} // gets a value when the answer to a request begins
	release     chan struct{} // closed when the requests may end
	closing     sync.Once
}

func newLimited(t *testing.T, o server.ConnectionsOptions) *limitedServer {
	h := &limitedServer{
		T: t, connections: server.NewConnections(o), arriving: make(chan net.Conn),
		answering: make(chan struct{}, 1000), release: make(chan struct{}),
	}
	there := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/read":
			_, _ = io.Copy(io.Discard, r.Body)
		case "/api/read/answer": // answers after its body has arrived
			_, _ = io.Copy(io.Discard, r.Body)
			h.answering <- struct{}{}
			<-h.release
		case "/api/huge":
			_, _ = w.Write(make([]byte, 300_000))
		case "/api/large": // too large for a buffer, and sent after the body has arrived
			_, _ = w.Write(make([]byte, 10_000))
		}
	})
	s := server.New(server.Options{API: api, Gather: there, Ready: []server.Check{{Name: "slow", Ready: func(context.Context) error {
		h.answering <- struct{}{}
		<-h.release
		return nil
	}}}})
	front := server.HTTP(s.Handler(server.Health, server.API, server.Metric), nil, slog.New(slog.DiscardHandler))
	h.connections.Watch(front)
	ended := make(chan error)
	go func() { ended <- front.Serve(h.connections.Bound(h)) }()
	t.Cleanup(func() {
		_ = front.Close()
		<-ended
		synctest.Wait()
		if s := h.connections.Stats(); s.Open != 0 {
			t.Errorf("all connections are closed, and %d are still counted", s.Open)
		}
	})
	return h
}

// Accept, Close and Addr implement net.Listener.
func (h *limitedServer) Accept() (net.Conn, error) {
	if c, ok := <-h.arriving; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (h *limitedServer) Close() error   { h.closing.Do(func() { close(h.arriving) }); return nil }
func (h *limitedServer) Addr() net.Addr { return &net.TCPAddr{} }

// addressedConn is a connection with an address.
type addressedConn struct {
	net.Conn
	from string
}

func (a addressedConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a.from))
}

// dial opens a connection.
func (h *limitedServer) dial(from string) net.Conn {
	h.Helper()
	client, end := net.Pipe()
	h.Cleanup(func() { _ = client.Close() })
	h.arriving <- addressedConn{end, from}
	synctest.Wait()
	return client
}

// get is like the function ask, but also waits until the server has finished the request.
func get(c net.Conn, path string) string {
	defer synctest.Wait()
	return ask(c, path)
}

// ask requests a path on a connection, and returns the status, or "closed".
func ask(c net.Conn, path string) string {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return "closed"
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "closed"
	}
	_, _ = io.Copy(io.Discard, response.Body)
	text := response.Status[:3]
	if after := response.Header.Get("Retry-After"); after != "" {
		text += ", again after " + after
	}
	if response.Close {
		text += ", closing"
	}
	return text
}

func (h *limitedServer) want(what, got, want string) {
	h.Helper()
	if got != want {
		h.Errorf("%s: %s, want %s", what, got, want)
	}
}

// In docker_auth, an incomplete header occupied its connection for 35 s, and the number of
// connections was unlimited. Here, a client that opens many connections only replaces its own
// connections.
func TestFloodOfOpenHeadersBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimited(t, server.ConnectionsOptions{Max: 8})
		kept := h.dial("192.0.2.1:1000")
		h.want("somebody", get(kept, "/healthz"), "200")
		for port := range 40 { // from two addresses, because one may have only half
			c := h.dial(fmt.Sprintf("198.51.100.%d:%d", port%2, 1000+port))
			if _, err := fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
				t.Fatal(err)
			}
		}
		if s := h.connections.Stats(); s.Open != 8 {
			t.Errorf("%d are open, want 8", s.Open)
		}
		h.want("a newcomer", get(h.dial("203.0.113.1:1000"), "/healthz"), "200")
		h.want("the client that was connected before", get(kept, "/healthz"), "200")
	})
}

// send sends text on a connection, and drops the answer.
func (h *limitedServer) send(c net.Conn, text string) {
	h.Helper()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	if _, err := io.WriteString(c, text); err != nil {
		h.Fatal(err)
	}
	synctest.Wait()
}

// A connection whose body never arrives is waiting. It does not matter whether the handler or the
// server reads the body.
func TestSlowBodiesBlockNobody(t *testing.T) {
	for _, length := range []string{
		"Content-Length: 100\r\n\r\nx", "Content-Length: 100000\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n2\r\nx",
		"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
	} {
		for _, request := range []string{"POST /api/read", "POST /api/large", "GET /healthz", "POST /nowhere"} {
			if strings.HasPrefix(length, "Expect") && request != "POST /api/read" {
				continue // nothing waits for such a body
			}
			for _, before := range []string{"", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"} {
				t.Run(strings.Join([]string{request, length, before}, " "), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						h := newLimited(t, server.ConnectionsOptions{Max: 4})
						for port := range 20 { // from two addresses, because one may have only half
							c := h.dial(fmt.Sprintf("198.51.100.%d:%d", port%2, 1000+port))
							h.send(c, before+request+" HTTP/1.1\r\nHost: x\r\n"+length)
						}
						h.want("a newcomer", get(h.dial("203.0.113.1:1000"), "/healthz"), "200")
						if s := h.connections.Stats(); s.Open != 4 || s.Refused != 0 || s.Closed != 17 {
							t.Errorf("%+v, want 4 open and 17 closed for new connections", s)
						}
					})
				})
			}
		}
	}
}

// As soon as the body of its request is complete, a connection counts as being answered, and is
// never closed for a new connection.
func TestConnectionWithCompleteBodyIsNotClosed(t *testing.T) {
	for _, body := range []string{
		"Content-Length: 3\r\n\r\nabc", "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
	} {
		t.Run(body, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newLimited(t, server.ConnectionsOptions{Max: 2})
				for i := range 2 {
					h.send(h.dial(fmt.Sprintf("192.0.2.%d:1000", i+1)), "POST /api/read/answer HTTP/1.1\r\nHost: x\r\n"+body)
					<-h.answering
				}
				h.want("a connection over the limit", get(h.dial("192.0.2.9:1000"), "/healthz"), "503, again after 5, closing")
				close(h.release)
				synctest.Wait()
				h.want("afterwards", get(h.dial("192.0.2.9:1000"), "/healthz"), "200")
			})
		})
	}
}

// If a client sends "Expect: 100-continue" and gets a final answer, the server does not ask for
// the body. http.Server recognizes such a body by its Go type.
func TestUnreadBodyIsNotRequested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimited(t, server.ConnectionsOptions{})
		c := h.dial("192.0.2.1:1000")
		if _, err := io.WriteString(c, "POST /api/large HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		first := make(chan string, 1)
		go func() {
			line, _ := bufio.NewReader(c).ReadString('\n')
			first <- strings.TrimSpace(line)
		}()
		synctest.Wait()
		select {
		case line := <-first:
			h.want("the first line", line, "HTTP/1.1 200 OK")
		default:
			t.Error("the server waits for the body")
		}
	})
}

// A registry that posts events keeps its connection in a flood, because it has completed
// requests before.
func TestLaterBodyKeepsItsConnectionInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimited(t, server.ConnectionsOptions{Max: 4})
		registry := h.dial("192.0.2.1:1000")
		h.want("a registry", get(registry, "/healthz"), "200")
		if _, err := io.WriteString(registry, "POST /api/read HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na"); err != nil {
			t.Fatal(err)
		}
		idle := h.dial("192.0.2.2:1000")
		if _, err := io.WriteString(idle, "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"); err != nil {
			t.Fatal(err)
		}
		if response, err := http.ReadResponse(bufio.NewReader(idle), nil); err != nil || response.StatusCode != http.StatusNotFound {
			t.Fatalf("%v, %v: the server reads the body, and the connection is closed", response, err)
		}
		synctest.Wait()
		for i := range 40 { // some send nothing, some send slowly
			c := h.dial(fmt.Sprintf("198.51.100.%d:1000", i))
			switch i % 3 {
			case 0:
				h.send(c, "POST /api/read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
			case 1:
				h.send(c, "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
			}
		}
		if _, err := io.WriteString(registry, "bc"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(registry), nil)
		if err != nil {
			t.Fatal(err)
		}
		h.want("the registry", response.Status, "200 OK")
		h.want("who rested", get(idle, "/healthz"), "200")
	})
}

// In HTTP/2 the end of a body can be a frame of its own. The server waits for this frame only
// if the handler reads up to the end.
func TestEndOfABodyIsAwaitedIfItIsRead(t *testing.T) {
	for _, text := range []string{"", "abc"} {
		c := server.NewConnections(server.ConnectionsOptions{})
		own := c.Admit(addressedConn{Conn: closableConn{}, from: "192.0.2.1:1000"})
		want := func(when string, want [4]int) {
			t.Helper()
			if got := c.Waiting(); got != want {
				t.Errorf("a body of %d bytes, %s: %v silent, slow, idle and sending connections, want %v", len(text), when, got, want)
			}
		}
		front := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { //nolint:gosec // it is not run
			if _, err := io.ReadFull(r.Body, make([]byte, len(text))); err != nil {
				t.Error(err)
			}
			want("when the body has arrived", [4]int{})
			_, _ = r.Body.Read(make([]byte, 1))
			want("when the end of the body has arrived", [4]int{})
		})}
		c.Watch(front)
		end := callOnRead(func() { want("while the handler reads the end of the body", [4]int{0, 1, 0, 0}) })
		r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader(text), end))
		r.ProtoMajor, r.ContentLength = 2, int64(len(text))
		r.Header.Set("Content-Length", fmt.Sprint(len(text)))
		own.Answer()
		front.Handler.ServeHTTP(nil, own.Asks(r))
	}
}

// callOnRead is an empty io.Reader that calls a function when it is read.
type callOnRead func()

func (r callOnRead) Read([]byte) (int, error) { r(); return 0, io.EOF }

// A small body, as in every token request by POST, allocates nothing.
func TestWatchingASmallBodyAllocatesNothing(t *testing.T) {
	c := server.NewConnections(server.ConnectionsOptions{})
	own := c.Admit(addressedConn{Conn: closableConn{}, from: "192.0.2.1:1000"})
	buffer := make([]byte, 10)
	var got string
	front := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { //nolint:gosec // it is not run
		n, _ := io.ReadFull(r.Body, buffer[:r.ContentLength])
		if got != string(buffer[:n]) {
			t.Errorf("read %q, want %q", buffer[:n], got)
		}
	})}
	c.Watch(front)
	for _, text := range []string{"", "abc"} {
		got = text
		text := strings.NewReader(text)
		r := own.Asks(httptest.NewRequest(http.MethodPost, "/", text))
		body := r.Body
		if n := testing.AllocsPerRun(100, func() {
			_, _ = text.Seek(0, io.SeekStart)
			front.Handler.ServeHTTP(nil, r)
		}); n != 0 {
			t.Errorf("for a body of %d bytes: %v allocations", text.Size(), n)
		}
		if r.Body != body {
			t.Error("the request has another body after the handler, so the server cannot find out whether the body was read")
		}
	}
}

// Connections without a completed request are closed first, even if their address has few
// connections. In an earlier version, users behind one address lost their connections to a
// flood from many addresses.
func TestSilentConnectionsAreClosedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimited(t, server.ConnectionsOptions{Max: 10})
		var kept []net.Conn
		for i := range 4 { // of one address
			kept = append(kept, h.dial(fmt.Sprintf("192.0.2.1:%d", 1000+i)))
			h.want("one of four connections", get(kept[i], "/healthz"), "200")
		}
		for i := range 40 {
			c := h.dial(fmt.Sprintf("198.51.100.%d:1000", i))
			if i%2 == 0 { // half of them begin a request
				if _, err := fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
					t.Fatal(err)
				}
			}
		}
		h.want("a newcomer", get(h.dial("203.0.113.1:1000"), "/healthz"), "200")
		for i, c := range kept {
			h.want(fmt.Sprint("the client that was connected before, ", i), get(c, "/healthz"), "200")
		}
	})
}

// In an earlier version, a client that requested a long answer and did not read it kept its
// connection for a minute.
func TestConnectionsThatDoNotReadAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimited(t, server.ConnectionsOptions{Max: 4})
		for i := range 4 { // a pipe has no buffer, like a client whose buffers are full
			c := h.dial(fmt.Sprintf("192.0.2.%d:1000", i))
			if _, err := fmt.Fprint(c, "GET /api/large HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		h.want("before the time to read has passed", get(h.dial("203.0.113.1:1000"), "/healthz"), "503, again after 5, closing")
		time.Sleep(2 * time.Second)
		for i := range 4 {
			h.want(fmt.Sprint("newcomer ", i), get(h.dial(fmt.Sprintf("203.0.113.%d:1000", i)), "/healthz"), "200")
		}
	})
}

// A client that reads slowly keeps its connection.
func TestSlowReadersAreNotClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimited(t, server.ConnectionsOptions{Max: 2})
		c := h.dial("192.0.2.1:1000")
		if _, err := fmt.Fprint(c, "GET /api/huge HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		done := make(chan int)
		go func() {
			n := 0
			for buffer := make([]byte, 20_000); ; time.Sleep(900 * time.Millisecond) {
				read, err := io.ReadFull(c, buffer)
				if n += read; err != nil {
					break
				}
			}
			done <- n
		}()
		other := h.dial("192.0.2.2:1000")
		h.want("another", get(other, "/healthz"), "200")
		for i := range 20 {
			time.Sleep(500 * time.Millisecond)
			h.want(fmt.Sprint("newcomer ", i), get(h.dial(fmt.Sprintf("203.0.113.%d:1000", i)), "/healthz"), "200")
		}
		if n := <-done; n < 300_000 {
			t.Errorf("%d bytes of the answer arrived", n)
		}
	})
}

// untilWaiting waits until the classes have these lengths: silent, slow, idle, sending.
func untilWaiting(t *testing.T, c *server.Connections, want [4]int) {
	t.Helper()
	await.Until(t, "the server records the states of its connections", func(context.Context) error {
		if got := c.Waiting(); got != want {
			return fmt.Errorf("%v silent, slow, idle and sending connections, want %v", got, want)
		}
		return nil
	})
}

// In HTTP/2 a connection has several requests. The connection counts as being answered if at
// least one of these requests does not wait for the client.
func TestSlowBodiesOfHTTP2(t *testing.T) {
	certificates, err := server.SelfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answering, release := make(chan struct{}, 10), make(chan struct{})
	c := server.NewConnections(server.ConnectionsOptions{})
	front := server.HTTP(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/answer" {
			answering <- struct{}{}
			<-release
		}
	}), certificates, slog.New(slog.DiscardHandler))
	c.Watch(front)
	ended := make(chan error)
	go func() { ended <- front.ServeTLS(c.Bound(l), "", "") }()
	trust := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}} //nolint:gosec // of this test
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}}
	statuses := make(chan string)
	post := func(path string, length int64, body io.Reader) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+l.Addr().String()+path, body)
		if err != nil {
			t.Error(err)
			return
		}
		request.ContentLength = length
		go func() {
			response, err := client.Do(request)
			if err != nil {
				statuses <- err.Error()
				return
			}
			_ = response.Body.Close()
			statuses <- response.Proto + " " + response.Status
		}()
	}
	want := func(what string) {
		t.Helper()
		if got := <-statuses; got != "HTTP/2.0 200 OK" {
			t.Errorf("%s: %s", what, got)
		}
	}
	first, firstEnd := io.Pipe()
	post("/", -1, first)
	untilWaiting(t, c, [4]int{0, 1, 0, 0}) // slow
	if _, err := io.WriteString(firstEnd, "a"); err != nil {
		t.Fatal(err)
	}
	second, secondEnd := io.Pipe()
	post("/", 3, second)
	if _, err := io.WriteString(secondEnd, "a"); err != nil {
		t.Fatal(err)
	}
	untilWaiting(t, c, [4]int{0, 1, 0, 0}) // two requests of the connection wait
	post("/answer", 1, strings.NewReader("a"))
	<-answering
	untilWaiting(t, c, [4]int{}) // one of the three requests is being answered
	close(release)
	want("the connection that is being answered")
	untilWaiting(t, c, [4]int{0, 0, 0, 1}) // two wait, and one request is complete
	if _, err := io.WriteString(secondEnd, "bc"); err != nil {
		t.Fatal(err)
	}
	_, _ = secondEnd.Close(), firstEnd.Close()
	want("the first")
	want("the second")
	untilWaiting(t, c, [4]int{0, 0, 1, 0})
	client.CloseIdleConnections()
	if err := front.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}

// In HTTP/2 a connection is idle before its first request.
func TestHTTP2ConnectionWithoutARequestIsSilent(t *testing.T) {
	certificates, err := server.SelfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := server.NewConnections(server.ConnectionsOptions{Max: 2})
	front := server.HTTP(server.New(server.Options{}).Handler(server.Health), certificates, slog.New(slog.DiscardHandler))
	c.Watch(front)
	ended := make(chan error)
	go func() { ended <- front.ServeTLS(c.Bound(l), "", "") }()
	wait := func(silent, idle int) {
		t.Helper()
		untilWaiting(t, c, [4]int{silent, 0, idle, 0})
	}
	trust := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}} //nolint:gosec // of this test
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}}
	response, err := client.Get("https://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	wait(0, 1)
	silent, err := tls.Dial("tcp", l.Addr().String(), trust)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// The preface of HTTP/2, and an empty SETTINGS frame.
	if _, err := io.WriteString(silent, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(silent, make([]byte, 9)); err != nil { // the server's settings
		t.Fatal(err)
	}
	wait(1, 1)
	client.CloseIdleConnections()
	if err := front.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}

// In an earlier version, admission searched all connections, so a client that opened many
// connections kept the listener busy.
func TestAdmissionExaminesOneConnection(t *testing.T) {
	for _, n := range []int{10, 1000, 20_000} {
		c := server.NewConnections(server.ConnectionsOptions{Max: n})
		for i := range n {
			own := c.Admit(addressedConn{Conn: closableConn{}, from: fmt.Sprintf("10.%d.%d.%d:1000", i>>16, i>>8&255, i&255)})
			switch i % 4 {
			case 0, 2:
				own.Answer()
			case 1:
				own.Send()
			case 3: // sent no request
			}
		}
		for i := range n/2 + 10 { // more than the limit
			before := c.Looked()
			own := c.Admit(addressedConn{Conn: closableConn{}, from: fmt.Sprintf("172.16.%d.%d:1000", i>>8, i&255)})
			if (own != nil) != (i < n/2) {
				t.Errorf("of %d: newcomer %d was admitted: %t", n, i, own != nil)
			}
			if own != nil {
				own.Answer()
			}
			if got := c.Looked() - before; got > 1 {
				t.Errorf("of %d: for a newcomer, %d connections were looked at", n, got)
			}
		}
	}
}

// After any sequence of events, a new connection replaces the connection that the order of the
// classes requires. The test finds this connection by a search through all connections.
func TestRightConnectionIsClosed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 6).Draw(t, "most")
		c := server.NewConnections(server.ConnectionsOptions{Max: most})
		type one struct {
			*server.Connection
			from  string
			since int
			// 0: no request; 1: sends a body; 2, 3: there was a request before; -1: is being
			// answered
			class int
			body  *server.Body // of its request
			again bool         // it completed a request
		}
		var open []*one
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			var picked *one
			if len(open) > 0 {
				picked = open[rapid.IntRange(0, len(open)-1).Draw(t, "which")]
			}
			switch op := rapid.IntRange(0, 4).Draw(t, "what"); {
			case op == 1 && picked != nil:
				if picked.body == nil {
					picked.Answer()
				} else {
					picked.body.Arrive()
				}
				picked.class = -1
			case op == 2 && picked != nil:
				picked.Complete(picked.body)
				picked.class, picked.body, picked.again, picked.since = 2, nil, true, step
			case op == 4 && picked != nil:
				if picked.body == nil {
					picked.body, picked.since, picked.class = picked.Send(), step, 1
					if picked.again {
						picked.class = 3
					}
				}
			case op == 3 && picked != nil:
				_ = picked.Close()
				open = slices.DeleteFunc(open, func(o *one) bool { return o == picked })
			default:
				from := rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "[2001:db8::1]", "127.0.0.1"}).Draw(t, "from")
				own := 0
				for _, o := range open {
					if o.from == from {
						own++
					}
				}
				limited := own >= max(1, most/2) && from != "127.0.0.1"
				full := limited || len(open) >= most
				var leaves *one
				for _, o := range open {
					if o.class < 0 || limited && o.from != from {
						continue
					}
					if leaves == nil || o.class < leaves.class || o.class == leaves.class && o.since < leaves.since {
						leaves = o
					}
				}
				admitted := c.Admit(addressedConn{Conn: closableConn{}, from: from + ":1000"})
				if (admitted != nil) != (!full || leaves != nil) {
					t.Fatalf("a newcomer of %s beside %d was admitted: %t", from, len(open), admitted != nil)
				}
				for _, o := range open {
					if o.Gone() != (full && o == leaves) {
						t.Fatalf("the connection of %s since %d is gone: %t", o.from, o.since, o.Gone())
					}
				}
				if admitted != nil {
					open = slices.DeleteFunc(open, func(o *one) bool { return full && o == leaves })
					open = append(open, &one{Connection: admitted, from: from, since: step})
				}
			}
			if s := c.Stats(); s.Open != len(open) {
				t.Fatalf("%d are open, want %d", s.Open, len(open))
			}
		}
	})
}

// closableConn is a connection that can be closed.
type closableConn struct{ net.Conn }

func (closableConn) Close() error { return nil }

// The connection that has been idle for the longest time is closed first.
func TestIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimited(t, server.ConnectionsOptions{Max: 3})
		var kept []net.Conn
		for i := range 3 {
			kept = append(kept, h.dial(fmt.Sprintf("192.0.2.%d:1000", i+1)))
			h.want("one of three", get(kept[i], "/healthz"), "200")
		}
		h.want("the first, again", get(kept[0], "/healthz"), "200")
		h.want("a fourth", get(h.dial("192.0.2.9:1000"), "/healthz"), "200")
		var now []string
		for _, c := range kept {
			now = append(now, get(c, "/healthz"))
		}
		if diff := cmp.Diff([]string{"200", "closed", "200"}, now); diff != "" {
			t.Errorf("the three (-want +got):\n%s", diff)
		}
	})
}

// A connection that is being answered is never closed: the new connection gets 503.
func TestConnectionOverTheLimitGets503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimited(t, server.ConnectionsOptions{Max: 2})
		answers := make(chan string)
		for i := range 2 {
			c := h.dial(fmt.Sprintf("192.0.2.%d:1000", i+1))
			go func() { answers <- ask(c, "/readyz") }()
			<-h.answering
		}
		for _, path := range []string{"/healthz", "/api/v1/whoami", "/openapi.json", "/metrics"} {
			h.want("one too many, at "+path, get(h.dial("192.0.2.9:1000"), path), "503, again after 5, closing")
		}
		// A connection over the limit that sends no request is closed too.
		for range 100 {
			h.dial("192.0.2.9:1000")
		}
		h.want("a connection over the second limit", get(h.dial("192.0.2.9:1000"), "/healthz"), "closed")
		close(h.release)
		h.want("the first", <-answers, "200")
		h.want("the second", <-answers, "200")
		if s := h.connections.Stats(); s.Refused != 105 {
			t.Errorf("%d were refused, want 105", s.Refused)
		}
		time.Sleep(time.Minute) // connections without a request are closed meanwhile
		synctest.Wait()
		h.want("afterwards", get(h.dial("192.0.2.9:1000"), "/healthz"), "200")
	})
}

// One IPv4 address, or one /64 of IPv6, may have half of the connections. This limit does not
// apply to a trusted proxy.
func TestOneAddressHasHalfOfThePlaces(t *testing.T) {
	for _, tt := range []struct {
		what, from string
		want       int
	}{
		{"an address", "192.0.2.1:%d", 5},
		{"a /64 of IPv6", "[2001:db8::%d]:1000", 5},
		{"this machine", "127.0.0.1:%d", 10},
		{"a trusted proxy", "10.1.2.3:%d", 10},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newLimited(t, server.ConnectionsOptions{
					Max: 10, TrustedProxies: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
				})
				for i := range 30 {
					h.dial(fmt.Sprintf(tt.from, 1000+i))
				}
				if got := h.connections.Stats().Open; got != tt.want {
					t.Errorf("%d are open, want %d", got, tt.want)
				}
			})
		})
	}
}

// A TLS connection is counted too.
func TestConnectionsWithTLSAreLimited(t *testing.T) {
	certificates, err := server.SelfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := server.NewConnections(server.ConnectionsOptions{Max: 1})
	front := server.HTTP(server.New(server.Options{}).Handler(server.Health), certificates, slog.New(slog.DiscardHandler))
	c.Watch(front)
	ended := make(chan error)
	go func() { ended <- front.ServeTLS(c.Bound(l), "", "") }()
	for range 3 {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // of this test
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") && !strings.HasPrefix(line, "HTTP/1.1 503") {
			t.Fatalf("%q, %v", line, err)
		}
	}
	if s := c.Stats(); s.Open > 1 || s.Closed+s.Refused != 2 {
		t.Errorf("%+v: three connections, and a limit of one", s)
	}
	if err := front.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}
