package identity

import "github.com/tidewaiter/tidewaiter/policy"

// RobotPrefix is the prefix of a robot's name at sign-in and in the reports of registries. So a
// robot called ci has another name there than a user called ci. The prefix needs no quotes in a
// shell or in YAML.
const RobotPrefix = "robot+"

// Login returns the name with which a principal signs in: "ann", "robot+ci".
func Login(p *policy.Principal) string {
	if p.Kind == policy.Robot {
		return RobotPrefix + p.Name
	}
	return p.Name
}
