package drive

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func newReader(from io.Reader) *reader {
	r := &reader{buf: make([]byte, bufferBytes)}
	r.reset(from)
	return r
}

func TestReaderFindsTheEndOfAnAnswer(t *testing.T) {
	long := strings.Repeat("x", 3*bufferBytes)
	for _, tt := range []struct {
		what, text string
		want       response
	}{
		{"a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", response{status: 200, body: 5}},
		{"a length with other case and spaces", "HTTP/1.1 200 OK\r\ncontent-LENGTH:5  \r\n\r\nhello", response{status: 200, body: 5}},
		{"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", response{status: 200, body: 5}},
		{"no body", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", response{status: 401}},
		{"no reason", "HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", response{status: 503}},
		{"a status that has no body", "HTTP/1.1 204 No Content\r\n\r\n", response{status: 204}},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", response{status: 200, body: 15}},
		{"chunks and a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: y\r\n\r\n", response{status: 200, body: 1}},
		{"a status 103 before the answer", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", response{status: 200, body: 1}},
		{"the last of its connection", "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", response{status: 200, body: 1, close: true}},
		{"the end of the connection", "HTTP/1.1 200 OK\r\n\r\nhello", response{status: 200, body: 5, close: true}},
		{"the end of the connection, in HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", response{status: 200, body: 5, close: true}},
		{"a body longer than the buffer", "HTTP/1.1 200 OK\r\nContent-Length: 196608\r\n\r\n" + long, response{status: 200, body: 196608}},
		{"a chunk longer than the buffer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30000\r\n" + long + "\r\n0\r\n\r\n", response{status: 200, body: 196608}},
	} {
		tt.want.bytes = int64(len(tt.text)) // including the status 103 and the framing
		for pieces, from := range map[string]io.Reader{
			"at once":      strings.NewReader(tt.text),
			"byte by byte": iotest.OneByteReader(strings.NewReader(tt.text)),
			"in halves":    iotest.HalfReader(strings.NewReader(tt.text)),
		} {
			got, err := newReader(from).readResponse()
			if err != nil {
				t.Errorf("%s, %s: %v", tt.what, pieces, err)
				continue
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(response{})); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", tt.what, pieces, diff)
			}
		}
	}
}

func TestReaderRejectsInvalidResponses(t *testing.T) {
	for _, tt := range []struct {
		what, text string
		want       error
	}{
		{"nothing", "", io.EOF},
		{"half a head", "HTTP/1.1 200 OK\r\nContent-Le", io.ErrUnexpectedEOF},
		{"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", io.ErrUnexpectedEOF},
		{"a length, but no body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", io.ErrUnexpectedEOF},
		{"half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", io.ErrUnexpectedEOF},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", io.ErrUnexpectedEOF},
		{"another protocol", "SSH-2.0-OpenSSH\r\n\r\n", errNotHTTP},
		{"no status", "HTTP/1.1 \r\n\r\n", errNotHTTP},
		{"a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", errNotHTTP},
		{"an invalid status", "HTTP/1.1 099 No\r\n\r\n", errNotHTTP},
		{"a line that is not a header", "HTTP/1.1 200 OK\r\nhello\r\n\r\n", errNotHTTP},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", errLength},
		{"an endless length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", errLength},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", errLength},
		{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errLength},
		{"an unexpected coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", errLength},
		{"a chunk without a length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n", errChunk},
		{"a chunk longer than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n", errChunk},
		{"an endless chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n", errChunk},
		{"a second answer", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n", errMoreThanOne},
		{"a switch to another protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n", errSwitched},
		{"an endless head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", bufferBytes), errHeadTooLong},
	} {
		if got, err := newReader(strings.NewReader(tt.text)).readResponse(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v; want %v", tt.what, got, err, tt.want)
		}
	}
}

func TestReaderReadsOneAnswerAfterTheOther(t *testing.T) {
	const first = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	const second = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"
	out, in := io.Pipe()
	go func() {
		_, _ = io.WriteString(in, first)
		_, _ = io.WriteString(in, second)
		in.Close()
	}()
	r := newReader(out)
	for _, want := range []response{{status: 200, body: 5, bytes: int64(len(first))}, {status: 404, body: 2, bytes: int64(len(second))}} {
		got, err := r.readResponse()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(response{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if _, err := r.readResponse(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v", err)
	}
}

func TestReaderAllocatesNothing(t *testing.T) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello")
	from := bytes.NewReader(answer)
	r := newReader(from)
	if n := testing.AllocsPerRun(100, func() {
		from.Reset(answer)
		if _, err := r.readResponse(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

// Responses that both readers accept have the same status and length. Each of the two readers
// rejects some responses that the other accepts.
func FuzzReaderAgreesWithNetHTTP(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nhello",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ours, err := newReader(bytes.NewReader(text)).readResponse()
		if err != nil {
			return
		}
		if ours.bytes > int64(len(text)) {
			t.Fatalf("%d bytes of %d", ours.bytes, len(text))
		}
		from := bufio.NewReader(bytes.NewReader(text))
		theirs, err := http.ReadResponse(from, nil)
		for err == nil && theirs.StatusCode < 200 {
			theirs, err = http.ReadResponse(from, nil)
		}
		if err != nil {
			return
		}
		defer theirs.Body.Close()
		body, err := io.Copy(io.Discard, theirs.Body)
		if err != nil {
			return
		}
		if theirs.StatusCode != ours.status || body != ours.body {
			t.Errorf("status %d with %d bytes; net/http: %d with %d", ours.status, ours.body, theirs.StatusCode, body)
		}
	})
}
