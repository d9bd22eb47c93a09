package rulebook

import "github.com/tidewaiter/tidewaiter/internal/admin"

// Names of package admin for packages that do not import it yet.
type (
	Actor        = admin.Actor
	Page         = admin.Page
	InvalidError = admin.InvalidError
)

var (
	ErrExists     = admin.ErrExists
	ErrNotFound   = admin.ErrNotFound
	ErrChanged    = admin.ErrChanged
	ErrForbidden  = admin.ErrForbidden
	ErrRestricted = admin.ErrRestricted
	Operator      = admin.Operator
	Requires      = admin.Requires
	BuiltIn       = admin.BuiltIn
)

const (
	RightPolicy     = admin.RightPolicy
	RightNamespaces = admin.RightNamespaces
	RightNamespace  = admin.RightNamespace
	Administrators  = admin.Administrators
	Auditors        = admin.Auditors
)
