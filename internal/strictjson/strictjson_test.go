package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/strictjson"
)

func TestObject(t *testing.T) {
	const depth = 3
	for _, tt := range []struct {
		text string
		want map[string]any
		says string // of the error
	}{
		{`{}`, map[string]any{}, ""},
		{` {"a":1.0,"A":null,"b":[true,"x"],"c":{"a":{}}} `,
			map[string]any{"a": json.Number("1.0"), "A": nil, "b": []any{true, "x"}, "c": map[string]any{"a": map[string]any{}}}, ""},
		{`{"a":1,"a":1}`, nil, "a name twice, before byte 10"},
		{`{"a":1,"\u0061":2}`, nil, "a name twice, before byte 15"},
		{`{"b":[{"a":1,"a":1}]}`, nil, "a name twice, before byte 16"},
		{`{"\n":1,"\n":1}`, nil, "a name twice, before byte 12"},
		{`{"` + strings.Repeat("é", 99) + `":1,"` + strings.Repeat("é", 99) + `":1}`, nil, "a name twice, before byte 404"},
		{`{"a":{"a":{"a":{}}}}`, nil, "nested more than 3 deep"},
		{strings.Repeat(`{"a":`, 5000) + `1` + strings.Repeat(`}`, 5000), nil, "nested more than 3 deep"},
		{`{} {}`, nil, "not JSON"},
		{`{}x`, nil, "not JSON"},
		{`{"a":1,}`, nil, "not JSON"},
		{``, nil, "not JSON"},
		{`[{}]`, nil, "not a JSON object"},
		{`null`, nil, "not a JSON object"},
		{"{\"a\":\"\xff\"}", nil, "not UTF-8"},
	} {
		got, err := strictjson.Object([]byte(tt.text), depth)
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%.80s: error %v, want %q", tt.text, err, tt.says)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\"é") {
			t.Errorf("%.80s: the error contains a part of the text: %v", tt.text, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%.80s: (-want +got)\n%s", tt.text, diff)
		}
	}
}
