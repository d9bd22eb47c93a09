package journal

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
)

// The queue is limited by sizeOf. A string that sizeOf forgot would not be limited.
func TestSizeOfCountsEveryString(t *testing.T) {
	for _, content := range []any{&Decision{}, &notification.Event{}, &Change{}} {
		t.Run(fmt.Sprintf("%T", content), func(t *testing.T) {
			entry := Entry{Registry: strings.Repeat("r", longText), Text: make([]byte, longText)}
			switch c := content.(type) {
			case *Decision:
				entry.Decision = c
			case *notification.Event:
				entry.Event = c
			case *Change:
				entry.Change = c
			}
			empty := sizeOf(&entry)
			want := 2*longText + fill(t, reflect.ValueOf(content).Elem())
			if got := sizeOf(&entry); got < want || got-empty < want-2*longText {
				t.Errorf("an entry of %d bytes has %d bytes without its strings, want a difference of %d bytes", got, empty, want)
			}
			if want < 5*longText {
				t.Errorf("only %d bytes of strings: the test may be wrong", want)
			}
		})
	}
}

// longText is longer than the constants of sizeOf, so that no constant can hide a string that
// sizeOf forgot.
const longText = 10_000

// fill puts a text into every string of v, and three elements into every list and map. It returns
// the length of these texts. Principals and rules stay empty, because entries share them.
func fill(t *testing.T, v reflect.Value) (n int) {
	t.Helper()
	switch v.Interface().(type) {
	case *policy.Principal, *policy.Rule, time.Time, netip.Addr, ID, *Repeats:
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Repeat("s", longText))
		return longText
	case reflect.Struct:
		for _, field := range v.Fields() {
			n += fill(t, field)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			n += fill(t, v.Index(i))
		}
	case reflect.Map: // of a change
		text := strings.Repeat("s", longText)
		v.Set(reflect.ValueOf(map[string]any{
			text: text, "list": []string{text, text}, "any": []any{text, 7}, "object": map[string]any{text: text}, "a channel": make(chan int),
		}))
		n = 7 * longText
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32:
	default:
		t.Fatalf("%s: add this type to fill", v.Type())
	}
	return n
}

// The writer waits longer while many entries arrive.
func TestLinger(t *testing.T) {
	for last, want := range map[int]time.Duration{0: 20, 1: 20, 63: 20, 64: 80, 512: 80} {
		if got := linger(20, last); got != want {
			t.Errorf("after a batch of %d entries: %d, want %d", last, got, want)
		}
	}
	if got := linger(-1, 100); got >= 0 {
		t.Errorf("the writer waits %d, although waiting is turned off", got)
	}
}
