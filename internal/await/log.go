package await

import (
	"strings"
	"sync"
)

// Log holds the text that is written to it. A test can read it while other goroutines write. The
// zero Log is empty.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Count returns how often the log contains text.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }

// Take returns the lines written since the last Take, and removes them.
func (l *Log) Take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.text.String())
	l.text.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
