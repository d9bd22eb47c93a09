package identity

import "github.com/tidewaiter/tidewaiter/policy"

// RobotPrefix begins what a robot signs in as, and what registries report it as: so that a robot called ci is
// not taken for a user of that name. It needs no quotes in a shell or in YAML.
const RobotPrefix = "robot+"

// Login returns what a principal signs in as: "ann", "robot+ci".
func Login(p *policy.Principal) string {
	if p.Kind == policy.Robot {
		return RobotPrefix + p.Name
	}
	return p.Name
}
