package identity

import "github.com/tidewaiter/tidewaiter/policy"

// RobotPrefix is the prefix of a robot's name for signing in and in registries' reports, so
// that a robot called ci differs from a user called ci. The prefix needs no quotes in a shell
// or in YAML.
const RobotPrefix = "robot+"

// Login returns the name with which a principal signs in: "ann", "robot+ci".
func Login(p *policy.Principal) string {
	if p.Kind == policy.Robot {
		return RobotPrefix + p.Name
	}
	return p.Name
}
