package ldap_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// fault is a fault that a proxy injects into its connections.
type fault int

const (
	pass    fault = iota // no fault
	refuse               // closes connections at once
	reset                // resets old and new connections
	silence              // receives data and never answers
	cut                  // closes connections in the middle of the next answer
)

// proxy is between a Directory and a server, and injects faults.
type proxy struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	heard   io.Writer // receives a copy of the data for the server; may be nil
	fault   fault
	conns   map[net.Conn]bool
	count   int           // connections so far
	counted *sync.Cond    // signals that count has grown
	waiting chan struct{} // closed when silence ends
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, conns: make(map[net.Conn]bool), waiting: make(chan struct{})}
	p.counted = sync.NewCond(&p.mu)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.setFault(reset)
		running.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// setFault changes the fault. Open connections end, unless the fault is silence or cut.
func (p *proxy) setFault(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == silence && f != silence {
		close(p.waiting)
		p.waiting = make(chan struct{})
	}
	p.fault = f
	if f == refuse || f == reset {
		for c := range p.conns {
			if tcp, ok := c.(*net.TCPConn); ok && f == reset {
				_ = tcp.SetLinger(0)
			}
			_ = c.Close()
		}
	}
}

// listen copies the data for the server to w.
func (p *proxy) listen(w io.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = w
}

// countConnections returns the number of connections so far.
func (p *proxy) countConnections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// await returns when the proxy has accepted the given total number of connections.
func (p *proxy) await(connections int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.count < connections {
		p.counted.Wait()
	}
}

func (p *proxy) now() (fault, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.waiting
}

func (p *proxy) keep(c net.Conn) (drop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return func() {
		_ = c.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
	}
}

func (p *proxy) serve(c net.Conn) {
	defer p.keep(c)()
	p.mu.Lock()
	p.count++
	p.counted.Broadcast()
	f, heard := p.fault, p.heard
	p.mu.Unlock()
	if f == refuse || f == reset {
		if tcp, ok := c.(*net.TCPConn); ok && f == reset {
			_ = tcp.SetLinger(0)
		}
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer p.keep(server)()
	var both sync.WaitGroup
	both.Go(func() {
		var from io.Reader = c
		if heard != nil {
			from = io.TeeReader(c, heard)
		}
		_, _ = io.Copy(server, from)
		_ = server.Close()
	})
	both.Go(func() {
		p.copyAnswers(c, server)
		_ = c.Close()
	})
	both.Wait()
}

// copyAnswers copies the server's answers to the client, and injects the fault.
func (p *proxy) copyAnswers(c, server net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := server.Read(buffer)
		if n > 0 {
			switch f, waiting := p.now(); f {
			case silence:
				<-waiting
			case cut:
				_, _ = c.Write(buffer[:n/2])
				return
			}
			if _, err := c.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
