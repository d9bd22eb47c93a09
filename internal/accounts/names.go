package accounts

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/policy"
)

// parseLogin splits a login into kind and name: "robot+ci" is the robot "ci". If the login is
// invalid, ok is false.
func parseLogin(login string) (kind policy.Kind, name string, ok bool) {
	if name, robot := strings.CutPrefix(login, RobotPrefix); robot {
		return policy.Robot, name, admin.CheckName(name) == nil
	}
	return policy.User, login, admin.CheckName(login) == nil
}
