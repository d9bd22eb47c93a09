// Package rulebook answers: which rules are in force, and who may change them?
//
// # Rights
//
// Each call that changes or shows something takes the Actor that does it, who needs a right over Tidewaiter: a
// scope of the type tidewaiter, judged by the policy in force. The members of the group "tidewaiter-admins", of
// whichever source, have all of them without a rule, and those of "tidewaiter-auditors" may read everything; a
// rule of the policy can deny it to them.
package rulebook
