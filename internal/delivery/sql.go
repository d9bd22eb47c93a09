package delivery

const (
	selectLease = `SELECT holder, beat FROM webhook_lease WHERE name = 'webhooks'`
	insertLease = `INSERT INTO webhook_lease (name, holder, beat) VALUES ('webhooks', $1, 1) ON CONFLICT (name) DO NOTHING`
	takeLease   = `UPDATE webhook_lease SET holder = $1, beat = $2 WHERE name = 'webhooks' AND holder = $3 AND beat = $4`

	stateColumns  = `revision, resend, off, position, failures, failing, next, waiting`
	selectState   = `SELECT ` + stateColumns + ` FROM webhooks WHERE name = $1`
	selectChanges = `SELECT name, revision FROM webhooks`
	insertState   = `
		INSERT INTO webhooks (name, revision, resend, off, position, failures, failing, next, waiting)
		VALUES ($1, 0, -1, '', $2, 0, 0, 0, '[]') ON CONFLICT (name) DO NOTHING`
	updateState = `
		UPDATE webhooks SET resend = -1, off = $3, position = $4, failures = $5, failing = $6, next = $7, waiting = $8
		WHERE name = $1 AND revision = $2`

	// The changes by administrators.
	changeOff    = `UPDATE webhooks SET revision = revision + 1, off = $2 WHERE name = $1`
	changeResend = `UPDATE webhooks SET revision = revision + 1, resend = $2 WHERE name = $1`

	insertAttempt = `
		INSERT INTO webhook_attempts (webhook, number, time, position, entry, attempt, status, problem, duration)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (webhook, number) DO NOTHING`
	deleteAttempts = `DELETE FROM webhook_attempts WHERE webhook = $1 AND number <= $2`
	selectNumber   = `SELECT coalesce(max(number), 0) FROM webhook_attempts WHERE webhook = $1`
	selectAttempts = `
		SELECT number, time, position, entry, attempt, status, problem, duration FROM webhook_attempts
		WHERE webhook = $1 ORDER BY number DESC LIMIT $2`
)
