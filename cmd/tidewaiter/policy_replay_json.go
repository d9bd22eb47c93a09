package main

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/replay"
	"github.com/tidewaiter/tidewaiter/policy"
)

// replayJSON is the JSON form of a replay.Report.
type replayJSON struct {
	Policy      string             `json:"policy"`
	Decisions   int64              `json:"decisions"`
	Same        int64              `json:"same"`
	Refused     int64              `json:"refused"`
	Allowed     int64              `json:"allowed"`
	NotJudged   int64              `json:"not_judged"`
	SignIns     int64              `json:"failed_sign_ins"`
	First       time.Time          `json:"first,omitzero"`
	Last        time.Time          `json:"last,omitzero"`
	Differences []differenceJSON   `json:"differences"`
	More        int64              `json:"more,omitempty"`
	Reasons     []replayReasonJSON `json:"not_judged_because"`
}

type differenceJSON struct {
	Effect    replay.Effect   `json:"effect"`
	Principal string          `json:"principal"`
	Actions   []string        `json:"actions"`
	Type      string          `json:"type"`
	Names     []string        `json:"names"`
	MoreNames bool            `json:"more_names,omitempty"`
	Scopes    int64           `json:"scopes"`
	Now       replayCauseJSON `json:"now"`
	Then      replayCauseJSON `json:"then"`
	First     time.Time       `json:"first"`
	Last      time.Time       `json:"last"`
	ID        string          `json:"id"`
}

type replayCauseJSON struct {
	Reason policy.Reason `json:"reason"`
	explain.RuleName
}

type replayReasonJSON struct {
	Text   string `json:"reason"`
	Scopes int64  `json:"scopes"`
	ID     string `json:"id"`
}

func newReplayJSON(id string, r *replay.Report) replayJSON {
	j := replayJSON{
		Policy: id, Decisions: r.Decisions, Same: r.Same, Refused: r.Refused, Allowed: r.Allowed, NotJudged: r.NotJudged, SignIns: r.SignIns,
		First: r.First, Last: r.Last, Differences: []differenceJSON{}, More: r.More, Reasons: []replayReasonJSON{},
	}
	for i := range r.Differences {
		d := &r.Differences[i]
		j.Differences = append(j.Differences, differenceJSON{
			d.Effect, d.Principal, explain.ActionNames(d.Actions), d.Type, d.Names, d.MoreNames, d.Scopes,
			newReplayCause(d.Now), newReplayCause(d.Then), d.First, d.Last, d.ID.String(),
		})
	}
	for _, why := range r.Reasons {
		j.Reasons = append(j.Reasons, replayReasonJSON{why.Text, why.Scopes, why.ID.String()})
	}
	return j
}

func newReplayCause(c policy.Cause) replayCauseJSON {
	return replayCauseJSON{c.Reason, explain.NewRuleName(c.Rule)}
}
