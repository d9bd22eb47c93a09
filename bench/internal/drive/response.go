package drive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// bufferBytes is enough for a whole head, and for most answers at once. Longer bodies pass
// through the buffer.
const bufferBytes = 64 << 10

var (
	errHeadTooLong  = errors.New("a head of more than 64 KiB")
	errNotHTTP      = errors.New("no HTTP/1 answer")
	errLength       = errors.New("an ambiguous body length")
	errChunk        = errors.New("a broken chunk")
	errMoreThanOne  = errors.New("more bytes than one answer")
	errSwitched     = errors.New("an unexpected answer 101")
	newline         = []byte("\n")
	endOfHead       = []byte("\r\n\r\n")
	http11          = []byte("HTTP/1.1 ")
	http10          = []byte("HTTP/1.0 ")
	contentLength   = []byte("content-length")
	transferCoding  = []byte("transfer-encoding")
	connection      = []byte("connection")
	chunked         = []byte("chunked")
	closeConnection = []byte("close")
)

// response has the parts of an answer that the driver needs.
type response struct {
	status int
	bytes  int64 // head and body, including framing
	body   int64 // without the framing of chunks
	close  bool  // the server closes the connection after it
}

// reader reads HTTP/1.1 answers to GET and POST, one at a time, and keeps none of their text. The
// reader checks the end of an answer strictly. If the reader accepted a wrong end, bytes of one
// answer would count as the next answer.
type reader struct {
	from       io.Reader
	buf        []byte
	start, end int   // read but not used yet: buf[start:end]
	taken      int64 // bytes used since the start of the answer
}

// reset switches to a new connection.
func (r *reader) reset(from io.Reader) {
	r.from, r.start, r.end = from, 0, 0
}

// readResponse reads one answer. It returns io.EOF if the connection ends before the answer
// begins.
func (r *reader) readResponse() (response, error) {
	r.taken = 0
	for {
		answer, framing, err := r.readHead()
		if err != nil {
			return response{}, err
		}
		switch {
		case answer.status == 101:
			return response{}, errSwitched
		case answer.status < 200: // 100, 102, 103: the final answer follows
			continue
		case answer.status == 204 || answer.status == 304:
		case framing.chunked:
			answer.body, err = r.readChunks()
		case framing.length >= 0:
			answer.body = framing.length
			err = r.skip(framing.length)
		default:
			answer.close = true
			answer.body, err = r.readToEnd()
		}
		if err != nil {
			return response{}, err
		}
		// The next request is not sent yet, so there must be no more answers.
		if r.start != r.end && !answer.close {
			return response{}, errMoreThanOne
		}
		answer.bytes = r.taken
		return answer, nil
	}
}

// framing describes how a body ends.
type framing struct {
	length  int64 // -1: unknown
	chunked bool
}

// readHead reads up to the empty line.
func (r *reader) readHead() (response, framing, error) {
	body := framing{length: -1}
	looked := 0
	for {
		at := bytes.Index(r.buf[r.start+looked:r.end], endOfHead)
		if at >= 0 {
			text := r.buf[r.start : r.start+looked+at+2] // including the end of the last line
			answer, err := parseHead(text, &body)
			r.use(len(text) + 2)
			return answer, body, err
		}
		// The buffer may end with the first bytes of endOfHead, so search these bytes again.
		looked = max(r.end-r.start-len(endOfHead)+1, 0)
		if err := r.fill(); err != nil {
			return response{}, body, err
		}
	}
}

func parseHead(text []byte, body *framing) (response, error) {
	var answer response
	line, text, _ := bytes.Cut(text, newline)
	switch {
	case bytes.HasPrefix(line, http11):
	case bytes.HasPrefix(line, http10):
		answer.close = true // HTTP/1.0 with keep-alive is not supported
	default:
		return answer, errNotHTTP
	}
	line = trim(line[len(http11):])
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' {
		return answer, errNotHTTP
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return answer, errNotHTTP
		}
		answer.status = answer.status*10 + int(c-'0')
	}
	if answer.status < 100 || answer.status > 599 {
		return answer, fmt.Errorf("%w: status %d", errNotHTTP, answer.status)
	}

	for len(text) > 0 {
		line, text, _ = bytes.Cut(text, newline)
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			return answer, errNotHTTP
		}
		name, value := line[:colon], line[colon+1:]
		// The relevant names differ in length, so most headers cost one comparison.
		switch len(name) {
		case len(contentLength):
			if bytes.EqualFold(name, contentLength) {
				n, ok := decimal(trim(value))
				if !ok || body.length >= 0 && body.length != n {
					return answer, errLength
				}
				body.length = n
			}
		case len(transferCoding):
			if bytes.EqualFold(name, transferCoding) {
				if body.chunked || !bytes.EqualFold(trim(value), chunked) {
					return answer, errLength
				}
				body.chunked = true
			}
		case len(connection):
			if bytes.EqualFold(name, connection) && bytes.EqualFold(trim(value), closeConnection) {
				answer.close = true
			}
		}
	}
	if body.chunked && body.length >= 0 {
		return answer, errLength // both headers: an attack by response smuggling
	}
	return answer, nil
}

// readChunks reads a chunked body with its trailer and returns the body's length.
func (r *reader) readChunks() (int64, error) {
	var total int64
	for {
		line, err := r.readLine()
		if err != nil {
			return 0, err
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, ok := hexadecimal(trim(digits))
		if !ok {
			return 0, errChunk
		}
		if size == 0 {
			break
		}
		total += size
		if err := r.skip(size); err != nil {
			return 0, err
		}
		if line, err = r.readLine(); err != nil {
			return 0, err
		}
		if len(line) != 0 {
			return 0, errChunk
		}
	}
	for {
		line, err := r.readLine()
		if err != nil {
			return 0, err
		}
		if len(line) == 0 {
			return total, nil
		}
	}
}

// readLine returns a line without its end. The line is valid until the next read.
func (r *reader) readLine() ([]byte, error) {
	for {
		if at := bytes.IndexByte(r.buf[r.start:r.end], '\n'); at >= 0 {
			line := r.buf[r.start : r.start+at]
			if len(line) == 0 || line[len(line)-1] != '\r' {
				return nil, errChunk
			}
			r.use(at + 1)
			return line[:len(line)-1], nil
		}
		if err := r.fillMore(); err != nil {
			return nil, err
		}
	}
}

// skip consumes n bytes.
func (r *reader) skip(n int64) error {
	for {
		have := min(int64(r.end-r.start), n)
		r.use(int(have))
		if n -= have; n == 0 {
			return nil
		}
		if err := r.fillMore(); err != nil {
			return err
		}
	}
}

// readToEnd consumes everything until the connection ends.
func (r *reader) readToEnd() (int64, error) {
	var total int64
	for {
		total += int64(r.end - r.start)
		r.use(r.end - r.start)
		err := r.fill()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func (r *reader) use(n int) {
	r.start += n
	r.taken += int64(n)
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
}

// fillMore calls the method fill, and returns io.ErrUnexpectedEOF if the connection ends.
func (r *reader) fillMore() error {
	err := r.fill()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill reads once. If there is no room behind the unread bytes, they first move to the front of
// the buffer.
func (r *reader) fill() error {
	if r.end == len(r.buf) {
		if r.start == 0 {
			return errHeadTooLong
		}
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	n, err := r.from.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil // if there was data and an error, the next read returns the error
	}
	if err == io.EOF && r.start != r.end {
		return io.ErrUnexpectedEOF
	}
	return err
}

func trim(b []byte) []byte { return bytes.Trim(b, " \t\r") }

// maxBody limits the length of a body. Answers of token endpoints are much smaller.
const maxBody = 1 << 40

func decimal(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > maxBody {
			return 0, false
		}
	}
	return n, len(b) > 0
}

func hexadecimal(b []byte) (n int64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		if n = n<<4 | int64(c); n > maxBody {
			return 0, false
		}
	}
	return n, len(b) > 0
}
